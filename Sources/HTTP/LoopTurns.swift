import NIOCore
import NIOPosix

/// Work of one event loop that goes on for long, cut into turns, with a look at the sockets between any two milliseconds of it.
///
/// What is handed to `EventLoop.execute` from the loop itself runs before the loop looks at its sockets again, so an answer that is made as
/// fast as it is sent would keep every other connection of the loop waiting until its end. One timer a loop, which is never due at once,
/// lets the loop look in between. (`@unchecked Sendable`: touched on its loop's thread alone.)
final class LoopTurns: @unchecked Sendable {
  private static let current = ThreadSpecificVariable<LoopTurns>()
  /// Longer than the loop needs to find that nothing is due.
  private static let pause = TimeAmount.microseconds(20)
  private static let turn = TimeAmount.milliseconds(1)

  private let eventLoop: any EventLoop
  private var waiting = CircularBuffer<() -> Void>()
  private var isScheduled = false

  private init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// Of the loop whose thread this is.
  static func of(_ eventLoop: any EventLoop) -> LoopTurns {
    eventLoop.preconditionInEventLoop()
    if let turns = current.currentValue { return turns }
    let turns = LoopTurns(eventLoop)
    current.currentValue = turns
    return turns
  }

  /// Runs it after those that wait already.
  func add(_ work: @escaping () -> Void) {
    waiting.append(work)
    schedule()
  }

  private func schedule() {
    guard !isScheduled, !waiting.isEmpty else { return }
    isScheduled = true
    eventLoop.scheduleTask(in: Self.pause) { self.run() }
  }

  private func run() {
    isScheduled = false
    let deadline = NIODeadline.now() + Self.turn
    // No more than waited when it began: nobody has two turns before another has one.
    for _ in 0..<waiting.count {
      waiting.removeFirst()()
      if NIODeadline.now() >= deadline { break }
    }
    schedule()
  }
}
