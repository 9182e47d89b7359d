import Wire

extension CustomRules {
  /// Pages are of the size that the resource's name says.
  private static func isWholePages(_ name: String, _ amount: Quantity) -> Bool {
    guard let page = Quantity(String(name.dropFirst("hugepages-".count))), page > .zero, page.nanos % 1_000_000_000 == 0 else {
      return false
    }
    return amount.value % page.value == 0
  }

  private static let hugePages: CustomRule = { value, scope in
    guard case .key(let name)? = scope.place.last, name.hasPrefix("hugepages-"), let amount = value.quantity,
      !isWholePages(name, amount)
    else { return fine }
    return [CustomFinding(message: "\(amount) is not positive integer multiple of \(name)", value: .string(amount.description))]
  }

  private static let computeResources: Set<String> = [
    "pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory",
  ]
  private static let standardQuota: Set<String> = computeResources.union([
    "ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers",
  ])

  /// Whether objects of a scope can use up what a quota limits.
  private static func fits(_ scope: String, _ resource: String) -> Bool {
    guard standardQuota.contains(resource) else { return true }
    return switch scope {
    case "BestEffort": resource == "pods"
    case "Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity":
      computeResources.contains(resource)
    case "VolumeAttributesClass": resource == "persistentvolumeclaims" || resource == "requests.storage"
    default: true
    }
  }

  private static func misfits(_ scopes: [String], _ scope: CustomScope) -> [CustomFinding] {
    let resources = scope.base["hard"].object?.keys.sorted() ?? []
    return scopes.flatMap { name in resources.filter { !fits(name, $0) }.map { _ in CustomFinding() } }
  }

  private static func ratios(_ scope: CustomScope, _ find: (String, Quantity) -> CustomFinding?) -> [CustomFinding] {
    (scope.base["maxLimitRequestRatio"].object?.members ?? []).compactMap { member in
      var finding = member.value.quantity.flatMap { find(member.key, $0) }
      finding?.value = member.value
      finding?.at = scope.typePlace + [.field("maxLimitRequestRatio"), .key(member.key)]
      return finding
    }
  }

  /// Quantities: requests, limits, quotas, ranges.
  static let amounts: [String: CustomRule] = [
    "resourceRequirements|limits[*]|hugepages-<size>: a whole multiple of the page size": hugePages,
    "resourceRequirements|requests[*]|the same": hugePages,
    "core/v1.PodSpec|resources.limits|no container limit above it": { value, scope in
      (scope.base["containers"].array ?? []).enumerated().flatMap { i, container in
        (container["resources"]["limits"].object?.members ?? []).compactMap { member -> CustomFinding? in
          guard let most = value[member.key].quantity, let amount = member.value.quantity, amount > most else { return nil }
          return CustomFinding(
            message: "must be less than or equal to pod limits of \(most)", value: member.value,
            at: scope.typePlace + [.field("resources"), .field("containers"), .index(i), .key(member.key), .field("limits")])
        }
      }
    },
    "core/v1.LimitRangeItem|maxLimitRequestRatio|at least 1": { _, scope in
      ratios(scope) { _, ratio in
        ratio.nanos < 1_000_000_000 ? CustomFinding(message: "ratio \(ratio) is less than 1") : nil
      }
    },
    "core/v1.LimitRangeItem|maxLimitRequestRatio|no more than max/min": { _, scope in
      ratios(scope) { name, ratio in
        guard let least = scope.base["min"][name].quantity, let most = scope.base["max"][name].quantity, least > .zero else {
          return nil
        }
        let limit = Double(most.nanos) / Double(least.nanos)
        guard Double(ratio.nanos) / 1e9 > limit else { return nil }
        return CustomFinding(message: "ratio \(ratio) is greater than max/min = \(sixDigits(limit))")
      }
    },
    "core/v1.LimitRangeItem|defaultRequest|equal to default for hugepages and extended resources": { value, scope in
      (value.object?.members ?? []).compactMap { member in
        guard !ResourceNames.isOvercommittable(member.key), let limit = scope.base["default"][member.key].quantity,
          let request = member.value.quantity, limit != request
        else { return nil }
        return CustomFinding(
          message: "default value \(limit) must equal to defaultRequest value \(request) in \(member.key)", value: member.value,
          at: scope.place + [.key(member.key)])
      }
    },
    "core/v1.ResourceQuotaSpec|scopes|each standard name in hard fits each scope: pods for BestEffort; pods, cpu, memory and their requests. and limits. forms for the other pod scopes; persistentvolumeclaims and requests.storage for VolumeAttributesClass":
      { value, scope in misfits((value.array ?? []).compactMap(\.string), scope) },
    "core/v1.ResourceQuotaSpec|scopeSelector.matchExpressions|fits hard as scopes do": { value, scope in
      misfits((value.array ?? []).compactMap { $0["scopeName"].string }, scope)
    },
    "core/v1.ResourceQuotaSpec|scopeSelector.matchExpressions|no conflicting pair": { value, _ in
      let names = Set((value.array ?? []).compactMap { $0["scopeName"].string })
      return [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]].filter { names.isSuperset(of: $0) }.map { _ in
        CustomFinding()
      }
    },
    "core/v1.ResourceQuota|metadata.resourceVersion|not empty": refuse { value, _ in value.isZero },
    "core/v1.PersistentVolumeClaim|metadata.resourceVersion|not empty": refuse { value, _ in value.isZero },
  ]

  /// `%f`, for a number that is not negative.
  private static func sixDigits(_ number: Double) -> String {
    let millionths = Int64(clamping: Int128((min(number, 9e12) * 1e6).rounded()))
    let rest = String(millionths % 1_000_000)
    return "\(millionths / 1_000_000).\(String(repeating: "0", count: 6 - rest.count))\(rest)"
  }
}
