import Wire

/// A pod that uses many fields, about 4 KB, as a client might send it.
enum FullPod {
  /// Without what only a client writes.
  static let value: Value = {
    guard var value = try? Value(json: Array(json.utf8)) else { preconditionFailure("the pod of the benchmarks does not parse") }
    value.remove("apiVersion")
    value.remove("kind")
    return value
  }()

  static let json = #"""
    {"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-7d4b9c","namespace":"shop",
    "uid":"6c84fb90-12c4-11e1-840d-7b25c5ee775a","creationTimestamp":"2026-11-25T08:13:23+01:00",
    "labels":{"app":"web","pod-template-hash":"7d4b9c","tier":"front"},"annotations":{
    "note":"a \"quoted\" line\nand another","zeta":"1","alpha":"2"},"ownerReferences":[{
    "apiVersion":"apps/v1","kind":"ReplicaSet","name":"web","uid":"1","controller":true,
    "blockOwnerDeletion":true}],"managedFields":[{"manager":"kubectl","operation":"Update",
    "apiVersion":"v1","time":"2026-11-25T07:13:23Z","fieldsType":"FieldsV1",
    "fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}}]},"spec":{"volumes":[{
    "name":"data","persistentVolumeClaim":{"claimName":"data"}},{"name":"config",
    "configMap":{"name":"web","items":[{"key":"a","path":"b","mode":256}]}},
    {"name":"scratch"},{"name":"token","projected":{"sources":[{"serviceAccountToken":{
    "path":"token"}},{"downwardAPI":{"items":[{"path":"labels","fieldRef":{
    "fieldPath":"metadata.labels"}},{"path":"cpu","resourceFieldRef":{"containerName":"web",
    "resource":"limits.cpu"}}]}}]}},{"name":"host","hostPath":{"path":"/var"}},
    {"name":"secret","secret":{"secretName":"s","defaultMode":0}}],"initContainers":[{
    "name":"init","image":"registry.example:5000/busybox","command":["sh","-c",
    "true"]},{"name":"sidecar","image":"proxy@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "restartPolicy":"Always"}],"containers":[{"name":"web","image":"nginx:1.27",
    "args":["-g","daemon off;"],"ports":[{"name":"http","containerPort":8080,
    "protocol":"TCP"},{"containerPort":9090}],"envFrom":[{"configMapRef":{"name":"web"}}],
    "env":[{"name":"A","value":"1"},{"name":"EMPTY","value":""},{"name":"POD",
    "valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"S","valueFrom":{
    "secretKeyRef":{"name":"s","key":"k","optional":false}}}],"resources":{
    "limits":{"cpu":"1500m","memory":"1024Mi"},"requests":{"cpu":0.5}},"volumeMounts":[{
    "name":"data","mountPath":"/data"},{"name":"config","mountPath":"/etc/web",
    "readOnly":true}],"livenessProbe":{"httpGet":{"path":"/healthz","port":"http",
    "httpHeaders":[{"name":"X","value":"y"}]},"initialDelaySeconds":3},"readinessProbe":{
    "tcpSocket":{"port":8080},"periodSeconds":5},"startupProbe":{"exec":{"command":["true"]},
    "failureThreshold":30},"lifecycle":{"preStop":{"exec":{"command":["sleep",
    "5"]}}},"securityContext":{"runAsUser":0,"allowPrivilegeEscalation":false,
    "capabilities":{"drop":["ALL"]}}},{"name":"log","image":"busybox:latest",
    "stdin":true,"tty":true}],"nodeSelector":{"disk":"ssd"},"serviceAccountName":"web",
    "affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{
    "weight":100,"podAffinityTerm":{"labelSelector":{"matchExpressions":[{"key":"app",
    "operator":"In","values":["web"]}]},"topologyKey":"kubernetes.io/hostname"}}]},
    "nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{
    "matchExpressions":[{"key":"zone","operator":"Exists"}]}]}}},"tolerations":[{
    "key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",
    "tolerationSeconds":300}],"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone",
    "whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"web"}}}],
    "securityContext":{"fsGroup":2000,"sysctls":[{"name":"net.core.somaxconn",
    "value":"1024"}]},"hostAliases":[{"ip":"10.0.0.1","hostnames":["a","b"]}],
    "priority":0,"hostNetwork":false,"terminationGracePeriodSeconds":0},"status":{
    "phase":"Running","conditions":[{"type":"Ready","status":"True","lastProbeTime":null,
    "lastTransitionTime":"2026-11-25T07:14:00Z"}],"hostIP":"10.0.0.2","podIP":"10.1.0.3",
    "podIPs":[{"ip":"10.1.0.3"}],"startTime":"2026-11-25T07:13:23Z","containerStatuses":[{
    "name":"web","state":{"running":{"startedAt":"2026-11-25T07:13:59Z"}},"lastState":{
    },"ready":true,"restartCount":0,"image":"nginx:1.27","imageID":"sha256:1",
    "containerID":"containerd://1","started":true}],"qosClass":"Burstable"}}
    """#
}
