import Cache
import Client
import Schema
import Wire

/// Every pod runs as a service account, with a token that lives as long as the pod.
enum ServiceAccountAdmission {
  private static let mountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

  static func admit(_ object: inout Value, _ context: WriteContext) throws(APIError) {
    // A pod that a node mirrors from a file has no account.
    if object["metadata"]["annotations"]["kubernetes.io/config.mirror"].string != nil { return }
    var spec = object["spec"]
    let name =
      spec["serviceAccountName"].string.flatMap { $0.isEmpty ? nil : $0 } ?? spec["serviceAccount"].string.flatMap {
        $0.isEmpty ? nil : $0
      } ?? "default"
    spec["serviceAccountName"] = .string(name)
    spec["serviceAccount"] = .string(name)
    let namespace = context.request.key.namespace
    let resource = GroupResource(resource: "serviceaccounts")
    guard let account = context.object(resource, ObjectKey(namespace: namespace, name: name)) else {
      throw APIError(
        .forbidden, context.kind.gvr.groupResource, object["metadata"]["name"].string ?? "",
        "pods \"\(object["metadata"]["name"].string ?? "")\" is forbidden: error looking up service account \(namespace)/\(name): serviceaccount \"\(name)\" not found"
      )
    }
    let (automount, pullSecrets) = account.withView { ($0["automountServiceAccountToken"].bool, $0["imagePullSecrets"].value) }
    if spec["imagePullSecrets"].isNull, !pullSecrets.isNull { spec["imagePullSecrets"] = pullSecrets }
    if spec["automountServiceAccountToken"].bool ?? automount ?? true { mountToken(&spec, context) }
    object["spec"] = spec
  }

  private static func mountToken(_ spec: inout Value, _ context: WriteContext) {
    let known = (spec["volumes"].array ?? []).first { $0["name"].string?.hasPrefix("kube-api-access-") == true }
    let volume = known?["name"].string ?? "kube-api-access-\(context.controlPlane.clock.suffix())"
    var isMounted = false
    for list in ["initContainers", "containers"] {
      guard var containers = spec[list].array else { continue }
      for i in containers.indices {
        let hasMount = (containers[i]["volumeMounts"].array ?? []).contains { $0["mountPath"].string == mountPath }
        if hasMount { continue }
        containers[i]["volumeMounts"].append(["name": .string(volume), "readOnly": true, "mountPath": .string(mountPath)])
        isMounted = true
      }
      spec[list] = .array(containers)
    }
    guard isMounted, known == nil else { return }
    spec["volumes"].append([
      "name": .string(volume),
      "projected": [
        "sources": [
          ["serviceAccountToken": ["expirationSeconds": 3607, "path": "token"]],
          ["configMap": ["name": "kube-root-ca.crt", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
          [
            "downwardAPI": ["items": [["path": "namespace", "fieldRef": ["apiVersion": "v1", "fieldPath": "metadata.namespace"]]]]
          ],
        ], "defaultMode": 420,
      ],
    ])
  }
}
