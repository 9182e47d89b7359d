import Wire

extension CustomRules {
  private static func isNone(_ value: Value) -> Bool { value[0].string == "None" }

  /// Services and what else concerns the network.
  static let services: [String: CustomRule] = [
    "core/v1.Service|spec.clusterIPs|not None": refuse { value, _ in isNone(value) },
    "core/v1.Service|spec.clusterIPs|first equals clusterIP": refuse { value, scope in
      !value.isZero && value[0] != scope.root["spec"]["clusterIP"]
    },
    "core/v1.Service|spec.clusterIPs|address i is of family ipFamilies[i]": { value, scope in
      let families = scope.root["spec"]["ipFamilies"].array ?? []
      return (value.array ?? []).enumerated().compactMap { i, address in
        guard i < families.count, let text = address.string, let parsed = Addresses.parse(text) else { return nil }
        let wanted = families[i].string ?? ""
        return (wanted == "IPv4") == parsed.isV4
          ? nil
          : CustomFinding(
            message: "expected an \(wanted) value as indicated by `ipFamilies[\(i)]`", value: address, more: [.index(i)])
      }
    },
    "core/v1.Service|spec.clusterIPs|unchanged where the number is the same": { value, scope in
      let (new, old) = (value.array ?? [], scope.old.array ?? [])
      guard new.count == old.count, scope.oldRoot != nil else { return fine }
      return new.indices.dropFirst().compactMap {
        new[$0] == old[$0] ? nil : CustomFinding(value: new[$0], more: [.index($0)])
      }
    },
    "core/v1.Service|spec.clusterIPs|the first stays": refuse { value, scope in
      let (new, old) = (value.array ?? [], scope.old.array ?? [])
      return !new.isEmpty && !old.isEmpty && new[0] != old[0]
    },
    "core/v1.Service|spec.clusterIPs|not emptied": refuse { value, scope in value.isZero && !scope.old.isZero },
    "core/v1.Service|spec.ipFamilyPolicy|SingleStack when the second address is dropped": refuse { value, scope in
      let (new, old) = (scope.root["spec"]["clusterIPs"], scope.oldRoot?["spec"]["clusterIPs"] ?? .null)
      return (old.array?.count ?? 0) > 1 && (new.array?.count ?? 0) == 1 && value.string != "SingleStack"
    },
    "core/v1.Service|spec.ipFamilyPolicy|SingleStack when the second family is dropped": refuse { value, scope in
      let (new, old) = (scope.root["spec"]["ipFamilies"], scope.oldRoot?["spec"]["ipFamilies"] ?? .null)
      return (old.array?.count ?? 0) > 1 && (new.array?.count ?? 0) == 1 && value.string != "SingleStack"
    },
    "core/v1.Service|spec.ipFamilies|unchanged where the number is the same; the first stays (headless on both sides: first only)":
      refuse { value, scope in
        let (new, old) = (value.array ?? [], scope.old.array ?? [])
        return !new.isEmpty && !old.isEmpty && new[0] != old[0]
      },
    "core/v1.Service|spec.ipFamilies|not emptied": refuse { value, scope in value.isZero && !scope.old.isZero },
    "core/v1.Service|metadata.annotations[\"service.beta.kubernetes.io/load-balancer-source-ranges\"]|only where the field is empty and type is LoadBalancer":
      refuse { value, scope in
        !value.isZero && scope.root["spec"]["loadBalancerSourceRanges"].isZero
          && scope.root["spec"]["type"].string != "LoadBalancer"
      },
    "networking/v1.HTTPIngressPath|path|none of // /./ /../ %2f %2F": { value, _ in
      ["//", "/./", "/../", "%2f", "%2F"].filter { value.string?.contains($0) == true }.map {
        CustomFinding(message: "must not contain '\($0)'")
      }
    },
    "networking/v1.HTTPIngressPath|path|no /.. or /. at the end": { value, _ in
      ["/..", "/."].filter { value.string?.hasSuffix($0) == true }.map { CustomFinding(message: "cannot end with '\($0)'") }
    },
    "networking/v1.IPBlock|except|inside cidr and smaller": { value, scope in
      guard let outer = scope.base["cidr"].string.flatMap(Addresses.cidr) else { return fine }
      return (value.array ?? []).enumerated().compactMap { i, entry in
        guard let inner = entry.string.flatMap(Addresses.cidr) else { return nil }
        return outer.contains(inner) && inner.length > outer.length ? nil : CustomFinding(value: entry, more: [.index(i)])
      }
    },
    "networking/v1.Ingress|metadata.annotations[\"kubernetes.io/ingress.class\"]|equal to spec.ingressClassName where both are set":
      refuse { value, scope in
        !value.isNull && !scope.root["spec"]["ingressClassName"].isNull && value != scope.root["spec"]["ingressClassName"]
      },
    "networking/v1.IngressBackend|service.port|name or number": refuse { value, _ in
      value["name"].isZero && value["number"].isZero
    },
    "networking/v1.IngressBackend|service.port|not both": refuse { value, _ in !value["name"].isZero && !value["number"].isZero },
    "networking/v1.NetworkPolicyPeer||ipBlock stands alone": refuse { value, _ in
      !value["podSelector"].isNull || !value["namespaceSelector"].isNull
    },
    "networking/v1.NetworkPolicyPort|endPort|port is a number": refuse { value, scope in
      !value.isNull && scope.base["port"].string != nil
    },
    "networking/v1.ServiceCIDR|spec.cidrs|unchanged, except that a second may be appended": { value, scope in
      let (new, old) = (value.array ?? [], scope.old.array ?? [])
      guard scope.oldRoot != nil else { return fine }
      return old.indices.compactMap { i in
        i < new.count && new[i] == old[i] ? nil : CustomFinding(value: i < new.count ? new[i] : "", more: [.index(i)])
      }
    },
  ]
}
