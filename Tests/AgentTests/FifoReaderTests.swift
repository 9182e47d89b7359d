import Agent
import Glibc
import Testing

@Suite struct FifoReaderTests {
  /// Fills the pipe.
  private func fill(_ file: Int32) -> Int {
    let bytes = [UInt8](repeating: 1, count: 65_536)
    var written = 0
    while true {
      let count = write(file, bytes, bytes.count)
      if count <= 0 { return written }
      written += count
    }
  }

  @Test(
    "what a command has left is taken when it has ended, and no more of what its children write on and on", .timeLimit(.minutes(5)))
  func bounded() async throws {
    var files: [Int32] = [0, 0]
    try #require(pipe(&files) == 0)
    for file in files { #expect(fcntl(file, F_SETFL, O_NONBLOCK) == 0) }
    defer { close(files[1]) }
    let queue = FramePipe()
    let reader = FifoReader(file: files[0], channel: 1, pipe: queue)
    defer { reader.cancel() }
    reader.start()
    // Nobody reads on: the reader stops taking.
    var before = 0
    for _ in 0..<100 {
      before += fill(files[1])
      await reader.drainToEnd()
    }
    #expect(before < 3 << 20)
    reader.end()
    var after = 0
    for _ in 0..<300 {
      after += fill(files[1])
      await reader.drainToEnd()
    }
    #expect(after >= FifoReader.rest - (1 << 20))
    #expect(after < FifoReader.rest + (1 << 20), "\(after)")
  }
}
