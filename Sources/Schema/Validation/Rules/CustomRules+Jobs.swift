import Wire

/// Indexes of a job's pods, as their statuses and policies write them: `1,3-5,7`.
struct IndexIntervals {
  struct Problem: Error {
    var message: String
  }

  private(set) var ranges: [ClosedRange<Int>] = []

  var count: Int { ranges.reduce(0) { $0 + $1.count } }

  /// - Parameter completions: what every index must be below.
  /// - Throws: why the text is no ascending list of indexes and ranges.
  init(_ text: String, below completions: Int) throws(Problem) {
    guard !text.isEmpty else { return }
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard ends.count <= 2 else {
        throw Problem(
          message:
            "the fragment \(FieldError.quoted(String(part))) violates the requirement that an index interval can have at most two parts separated by '-'"
        )
      }
      let first = try Self.index(ends[0], completions)
      let last = ends.count == 2 ? try Self.index(ends[1], completions) : first
      if ends.count == 2, first >= last { throw Problem(message: "non-increasing order, previous: \(first), current: \(last)") }
      if let previous = ranges.last?.upperBound, previous >= first {
        throw Problem(message: "non-increasing order, previous: \(previous), current: \(first)")
      }
      ranges.append(first...last)
    }
  }

  private static func index(_ text: Substring, _ completions: Int) throws(Problem) -> Int {
    guard let index = Int(text), index >= 0 else {
      throw Problem(message: "cannot convert string to integer for index: \(FieldError.quoted(String(text)))")
    }
    guard index < completions else { throw Problem(message: "too large index: \(FieldError.quoted(String(text)))") }
    return index
  }

  func overlaps(_ other: IndexIntervals) -> Bool {
    var (i, j) = (0, 0)
    while i < ranges.count, j < other.ranges.count {
      if ranges[i].overlaps(other.ranges[j]) { return true }
      if ranges[i].upperBound < other.ranges[j].lowerBound { i += 1 } else { j += 1 }
    }
    return false
  }
}

extension CustomRules {
  private static func intervals(_ text: Value, _ completions: Value) -> Result<IndexIntervals, IndexIntervals.Problem>? {
    guard let text = text.string, let completions = completions.int else { return nil }
    do throws(IndexIntervals.Problem) { return .success(try IndexIntervals(text, below: Int(clamping: completions))) } catch {
      return .failure(error)
    }
  }

  private static func problem(_ text: Value, _ completions: Value, _ field: String) -> [CustomFinding] {
    guard case .failure(let problem)? = intervals(text, completions) else { return fine }
    return [CustomFinding(message: "error parsing \(field): \(problem.message)")]
  }

  private static func isTrue(_ job: Value?, _ type: String) -> Bool {
    (job?["status"]["conditions"].array ?? []).contains { $0["type"].string == type && $0["status"].string == "True" }
  }

  /// Jobs: what their statuses may say, and their success policies.
  static let jobs: [String: CustomRule] = [
    "batch/v1.Job|status.uncountedTerminatedPods|UIDs in succeeded and failed not empty and all different": { value, scope in
      var seen: Set<String> = []
      return ["succeeded", "failed"].flatMap { list in
        (value[list].array ?? []).enumerated().compactMap { i, uid -> CustomFinding? in
          let text = uid.string ?? ""
          let at = scope.place + [.field(list), .index(i)]
          if text.isEmpty { return CustomFinding(value: "", at: at) }
          return seen.insert(text).inserted ? nil : CustomFinding(message: "", value: uid, kind: .duplicate, at: at)
        }
      }
    },
    "batch/v1.Job|status.conditions|SuccessCriteriaMet not after Complete": refuse { _, scope in
      isTrue(scope.oldRoot, "Complete") && !isTrue(scope.oldRoot, "SuccessCriteriaMet") && isTrue(scope.root, "SuccessCriteriaMet")
    },
    "batch/v1.Job|status.startTime|unchanged while not suspended": { value, scope in
      guard !scope.old.isNull, value != scope.old, scope.root["spec"]["suspend"].bool != true else { return fine }
      return [CustomFinding(message: "startTime cannot be \(value.isNull ? "removed" : "modified") for unsuspended job")]
    },
    "batch/v1.Job|status.completedIndexes|well formed; empty where not Indexed": { value, scope in
      guard !value.isZero else { return fine }
      let spec = scope.root["spec"]
      return problem(value, spec["completions"], "completedIndexes")
        + (spec["completionMode"].string == "Indexed" ? fine : [CustomFinding()])
    },
    "batch/v1.Job|status.failedIndexes|well formed; only with backoffLimitPerIndex; disjoint from completedIndexes": {
      value, scope in
      guard !value.isNull else { return fine }
      let spec = scope.root["spec"]
      guard !spec["backoffLimitPerIndex"].isNull else { return [CustomFinding()] }
      let found = problem(value, spec["completions"], "failedIndexes")
      guard found.isEmpty, case .success(let failed)? = intervals(value, spec["completions"]),
        case .success(let completed)? = intervals(scope.root["status"]["completedIndexes"], spec["completions"]),
        failed.overlaps(completed)
      else { return found }
      return [CustomFinding(message: "failedIndexes and completedIndexes overlap")]
    },
    "batch/v1.JobSpec|successPolicy.rules[*].succeededIndexes|ascending indexes and ranges such as 1,3-5, all below completions": {
      value, scope in problem(value, scope.base["completions"], "succeededIndexes")
    },
    "batch/v1.JobSpec|successPolicy.rules[*].succeededCount|no more than the number of succeededIndexes": { value, scope in
      guard let count = value.int, case .index(let i)? = scope.place.dropLast().last else { return fine }
      let indexes = scope.base["successPolicy"]["rules"][i]["succeededIndexes"]
      guard case .success(let intervals)? = intervals(indexes, scope.base["completions"]), count > intervals.count else {
        return fine
      }
      return [
        CustomFinding(
          message:
            "must be less than or equal to \(intervals.count) (the number of indexes in the specified succeededIndexes field)")
      ]
    },
  ]
}
