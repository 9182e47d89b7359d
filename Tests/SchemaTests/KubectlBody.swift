import Testing

/// What kubectl 1.33 and 1.37 send for `kubectl create …` (captured), and what the same commands print with `--dry-run=client -o json`.
struct KubectlBody: Sendable, CustomTestStringConvertible {
  let group: String
  let resource: String
  /// The protobuf body, base64.
  let protobuf: String
  let json: String

  var testDescription: String { resource }

  static let all = [
    KubectlBody(
      group: "apps", resource: "deployments",
      protobuf:
        "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50Er0BCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEosBCAMSDAoKCgNhcHASA3dlYhpxChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViElESMwoFbmdpbngSCm5naW54OjEuMjcqADIKCgAQABhQIgAqAEIAagByAIABAIgBAJABAKIBABoAMgBCAEoAUgBYAGAAaACCAQCKAQCaAQDCAQAiAgoAKAA4ABoMCAAQABgAIAAoADgAGgAiAA==",
      json:
        #"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"nginx","image":"nginx:1.27","ports":[{"containerPort":80}],"resources":{}}]}},"strategy":{}},"status":{}}"#
    ),
    KubectlBody(
      group: "", resource: "services",
      protobuf:
        "azhzAAoNCgJ2MRIHU2VydmljZRJqCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkMKHQoHODAtODA4MBIDVENQGFAiBwgAEJA/GgAogOsBEgoKA2FwcBIDd2ViGgAiCE5vZGVQb3J0OgBCAFIAWgBgAGgAGgIKABoAIgA=",
      json:
        #"{"kind":"Service","apiVersion":"v1","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"ports":[{"name":"80-8080","protocol":"TCP","port":80,"targetPort":8080,"nodePort":30080}],"selector":{"app":"web"},"type":"NodePort"},"status":{"loadBalancer":{}}}"#
    ),
    KubectlBody(
      group: "", resource: "secrets",
      protobuf:
        "azhzAAoMCgJ2MRIGU2VjcmV0EjAKEQoBcxIAGgAiACoAMgA4AEIAEgYKAWESAWISEQoDa2V5EgpsaW5lCmJyZWFrGgAaACIA",
      json:
        #"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"a":"Yg==","key":"bGluZQpicmVhaw=="}}"#),
    KubectlBody(
      group: "", resource: "configmaps",
      protobuf:
        "azhzAAoPCgJ2MRIJQ29uZmlnTWFwEhsKEQoBYxIAGgAiACoAMgA4AEIAEgYKAWESAWIaACIA",
      json:
        #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c"},"data":{"a":"b"}}"#),
    KubectlBody(
      group: "batch", resource: "jobs",
      protobuf:
        "azhzAAoPCghiYXRjaC92MRIDSm9iEpABChEKAWoSABoAIgAqADIAOABCABJxMm8KEAoAEgAaACIAKgAyADgAQgASWxI4CgFqEg5idXN5Ym94OmxhdGVzdBoCc2gaAi1jGgdlY2hvIGhpKgBCAGoAcgCAAQCIAQCQAQCiAQAaBU5ldmVyMgBCAEoAUgBYAGAAaACCAQCKAQCaAQDCAQAaCCAAKAAwADoAGgAiAA==",
      json:
        #"{"kind":"Job","apiVersion":"batch/v1","metadata":{"name":"j"},"spec":{"template":{"metadata":{},"spec":{"containers":[{"name":"j","image":"busybox:latest","command":["sh","-c","echo hi"],"resources":{}}],"restartPolicy":"Never"}}},"status":{}}"#
    ),
    KubectlBody(
      group: "batch", resource: "cronjobs",
      protobuf:
        "azhzAAoTCghiYXRjaC92MRIHQ3JvbkpvYhKkAQoSCgJjahIAGgAiACoAMgA4AEIAEosBCgsqLzUgKiAqICogKhoAKnoKEgoCY2oSABoAIgAqADIAOABCABJkMmIKEAoAEgAaACIAKgAyADgAQgASThInCgJjahIHYnVzeWJveBoEZGF0ZSoAQgBqAHIAgAEAiAEAkAEAogEAGglPbkZhaWx1cmUyAEIASgBSAFgAYABoAIIBAIoBAJoBAMIBABoAGgAiAA==",
      json:
        #"{"kind":"CronJob","apiVersion":"batch/v1","metadata":{"name":"cj"},"spec":{"schedule":"*/5 * * * *","jobTemplate":{"metadata":{"name":"cj"},"spec":{"template":{"metadata":{},"spec":{"containers":[{"name":"cj","image":"busybox","command":["date"],"resources":{}}],"restartPolicy":"OnFailure"}}}}},"status":{}}"#
    ),
    KubectlBody(
      group: "networking.k8s.io", resource: "ingresses",
      protobuf:
        "azhzAAofChRuZXR3b3JraW5nLms4cy5pby92MRIHSW5ncmVzcxJrChkKAWkSABoAIgAqADIAOABCAGIGCgFhEgFiEkoSEgoHZm9vLmNvbRIHbXktY2VydBotCgdmb28uY29tEiIKIAoeCgQvYmFyEg4iDAoDc3ZjEgUKABCQPxoGUHJlZml4IgVuZ2lueBoCCgAaACIA",
      json:
        #"{"kind":"Ingress","apiVersion":"networking.k8s.io/v1","metadata":{"name":"i","annotations":{"a":"b"}},"spec":{"ingressClassName":"nginx","tls":[{"hosts":["foo.com"],"secretName":"my-cert"}],"rules":[{"host":"foo.com","http":{"paths":[{"path":"/bar","pathType":"Prefix","backend":{"service":{"name":"svc","port":{"number":8080}}}}]}}]},"status":{"loadBalancer":{}}}"#
    ),
    KubectlBody(
      group: "rbac.authorization.k8s.io", resource: "rolebindings",
      protobuf:
        "azhzAAorChxyYmFjLmF1dGhvcml6YXRpb24uazhzLmlvL3YxEgtSb2xlQmluZGluZxKEAQoSCgJyYhIAGgAiACoAMgA4AEIAEicKBFVzZXISGXJiYWMuYXV0aG9yaXphdGlvbi5rOHMuaW8aAm1lIgASHwoOU2VydmljZUFjY291bnQSABoCc2EiB2RlZmF1bHQaJAoZcmJhYy5hdXRob3JpemF0aW9uLms4cy5pbxIEUm9sZRoBchoAIgA=",
      json:
        #"{"kind":"RoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"rb"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"me"},{"kind":"ServiceAccount","name":"sa","namespace":"default"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"}}"#
    ),
    KubectlBody(
      group: "policy", resource: "poddisruptionbudgets",
      protobuf:
        "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSOAoTCgNwZGISABoAIgAqADIAOABCABIVCgkIARAAGgM1MCUSCAoGCgFhEgFiGgoIABgAIAAoADAAGgAiAA==",
      json:
        #"{"kind":"PodDisruptionBudget","apiVersion":"policy/v1","metadata":{"name":"pdb"},"spec":{"minAvailable":"50%","selector":{"matchLabels":{"a":"b"}}},"status":{"disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":0,"expectedPods":0}}"#
    ),
    KubectlBody(
      group: "", resource: "resourcequotas",
      protobuf:
        "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRJAChEKAXESABoAIgAqADIAOABCABIpCgoKA2NwdRIDCgExCg4KBm1lbW9yeRIECgIxRwoLCgRwb2RzEgMKATIaABoAIgA=",
      json:
        #"{"kind":"ResourceQuota","apiVersion":"v1","metadata":{"name":"q"},"spec":{"hard":{"cpu":"1","memory":"1G","pods":"2"}},"status":{}}"#
    ),
    KubectlBody(
      group: "", resource: "namespaces",
      protobuf:
        "azhzAAoPCgJ2MRIJTmFtZXNwYWNlEhkKEQoBbhIAGgAiACoAMgA4AEIAEgAaAgoAGgAiAA==",
      json:
        #"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"n"},"spec":{},"status":{}}"#),
  ]
}
