import Agent
import Client
import Testing

/// The way between a container and a client holds a megabyte, whoever of the two is slow.
@Suite struct FrameQueueTests {
  private func frame(_ number: Int, _ count: Int = 100_000) -> StreamFrame {
    StreamFrame(channel: 1, bytes: [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count))
  }

  @Test("who sends to a reader that does not read waits, and nothing is lost or turned round")
  func bounded() async throws {
    let queue = FrameQueue()
    // Eleven frames of 100 kB fill it.
    for i in 0..<11 { await queue.push(frame(i)) }
    #expect(!queue.hasRoom)
    #expect(!queue.whenRoom {})
    let sending = Task {
      for i in 11..<100 { await queue.push(frame(i)) }
      queue.finish()
    }
    var next = 0
    while let frame = try await queue.next() {
      #expect(frame.bytes.first == UInt8(next))
      next += 1
    }
    #expect(next == 100)
    await sending.value
  }

  @Test("a reader that goes lets everybody go who waits for room; an error comes after what was sent before it")
  func ends() async throws {
    struct Gone: Error {}
    let queue = FrameQueue()
    while queue.hasRoom { queue.add(frame(1)) }
    let sending = Task { await queue.push(frame(2)) }
    queue.finish(Gone())
    await sending.value
    #expect(queue.whenRoom {})
    for _ in 0..<11 { #expect(try await queue.next() != nil) }
    await #expect(throws: Gone.self) { try await queue.next() }
    let waiting = Task { for await _ in FrameQueue() {} }
    waiting.cancel()
    await waiting.value
  }
}
