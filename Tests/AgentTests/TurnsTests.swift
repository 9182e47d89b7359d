import Agent
import Testing

/// A shim starts one process at a time: fifty at once would be fifty in its way.
@Suite struct TurnsTests {
  @Test("one has its turn at a time, in the order in which they came; who has gone is passed over")
  func order() async {
    let turns = Turns()
    let held = await turns.take(until: FramePipe())
    let (order, continuation) = AsyncStream.makeStream(of: Int?.self)
    var pipes: [FramePipe] = []
    for i in 0..<80 {
      let pipe = FramePipe()
      pipes.append(pipe)
      Task.immediate {
        let turn = await turns.take(until: pipe)
        // Written while it is had: two at a time would be seen as another order.
        continuation.yield(turn == nil ? nil : i)
        turn?.end()
        turn?.end()
      }
      #expect(turns.count == i + 1)
    }
    for pipe in pipes[..<40] { pipe.close() }
    #expect(turns.count == 40)
    held?.end()
    var seen: [Int?] = []
    for await one in order.prefix(80) { seen.append(one) }
    #expect(seen.filter { $0 == nil }.count == 40)
    #expect(seen.compactMap { $0 } == Array(40..<80))
    // Nobody has it now; a closed pipe is not waited for.
    let next = await turns.take(until: FramePipe())
    #expect(next != nil)
    let closed = FramePipe()
    closed.close()
    #expect(await turns.take(until: closed) == nil)
    next?.end()
    #expect(await turns.take(until: FramePipe()) != nil)
  }
}
