import Glibc
import Store
import Testing

@Suite struct SegmentLogTests {
  @Test("records of a span come back in their order, across files and a restart")
  func spans() async throws {
    try await withTemporaryDirectory { directory in
      var configuration = SegmentLog.Configuration(directory: "\(directory)/audit")
      configuration.segmentBytes = 100_000
      let log = try SegmentLog(configuration)
      var random = Seeded(3)
      var model: [SegmentLog.Record] = []
      for i in 0..<5000 {
        // Clocks jump back now and then.
        let record = SegmentLog.Record(
          time: Int64(i * 1000 - random.next(20_000)), bytes: (0..<random.next(300)).map { UInt8(truncatingIfNeeded: i &+ $0) })
        try log.append(record.bytes, time: record.time)
        model.append(record)
      }
      try log.sync()
      for log in [log, try SegmentLog(configuration)] {
        #expect(try log.read(Int64.min...Int64.max, limit: 10_000) == model)
        for _ in 0..<20 {
          let from = Int64(random.next(5_000_000))
          let span = from...(from + Int64(random.next(400_000)))
          #expect(try log.read(span, limit: 10_000) == model.filter { span.contains($0.time) })
          #expect(try log.read(span, limit: 3) == Array(model.filter { span.contains($0.time) }.prefix(3)))
        }
      }
    }
  }

  @Test("a torn tail is cut off; what stood before it stays, and appending goes on", arguments: [1, 15, 16, 40, 99])
  func tornTail(cut: Int) async throws {
    try await withTemporaryDirectory { directory in
      let configuration = SegmentLog.Configuration(directory: directory)
      do {
        let log = try SegmentLog(configuration)
        for i in 0..<10 { try log.append([UInt8](repeating: UInt8(i), count: 84), time: Int64(i)) }
      }
      #expect(truncate("\(directory)/1.seg", off_t(1000 - cut)) == 0)
      let log = try SegmentLog(configuration)
      #expect(try log.read(0...100, limit: 100).map(\.time) == Array(0..<9))
      try log.append([42], time: 50)
      #expect(try SegmentLog(configuration).read(0...100, limit: 100).map(\.time) == Array(0..<9) + [50])
    }
  }

  @Test("whole files go by age and by size; the newest stays")
  func retention() async throws {
    try await withTemporaryDirectory { directory in
      var configuration = SegmentLog.Configuration(directory: directory)
      configuration.segmentBytes = 1000
      configuration.retentionSeconds = 10
      configuration.maximumBytes = 5000
      let log = try SegmentLog(configuration)
      for second in 0..<40 { try log.append([UInt8](repeating: 1, count: 500), time: Int64(second) * 1_000_000) }
      log.prune(now: 12_000_000)
      // Age alone would leave 38 records; their bytes leave fewer.
      let left = try log.read(0...Int64.max, limit: 100)
      #expect(left.count <= 10 && left.count >= 8)
      #expect(left.last?.time == 39_000_000)
      log.prune(now: 1_000_000_000)
      #expect(try !log.read(0...Int64.max, limit: 100).isEmpty)
    }
  }
}
