import Client
import ControlPlane
import Crypto
import FoundationEssentials
import Store
import SwiftASN1
import Testing
import Wire
import X509

@Suite(.timeLimit(.minutes(5))) struct CertificateSignerTests {
  private static let requests = GroupVersionResource(
    group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests")

  private func body(_ name: String, user: String, groups: [String], usages: Value = ["client auth"]) throws -> Value {
    let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
    let subject = try DistinguishedName {
      for group in groups { OrganizationName(group) }
      CommonName(user)
    }
    let request = try CertificateSigningRequest(
      version: .v1, subject: subject, privateKey: key, attributes: .init(), signatureAlgorithm: .ecdsaWithSHA256)
    return [
      "metadata": ["name": .string(name)],
      "spec": [
        "request": .string(Base64.encode(Array(try request.serializeAsPEM().pemString.utf8))),
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": usages, "expirationSeconds": 86_400,
      ],
    ]
  }

  private func approve(_ name: String, _ client: any Client) async throws(APIError) {
    var request = try await client.get(Self.requests, ObjectKey(name: name)).value
    request["status"]["conditions"] = [
      ["type": "Approved", "status": "True", "reason": "KubectlApprove", "message": "approved"]
    ]
    _ = try await client.update(Self.requests, ObjectKey(name: name), subresource: "approval", body: request, WriteOptions())
  }

  /// The request once its signer has answered.
  private func answered(_ name: String, _ client: any Client) async throws -> Value {
    let stream = try await client.watch(
      Self.requests, namespace: "", ListOptions(fieldSelector: "metadata.name=\(name)", sendInitialEvents: true))
    for await batch in stream {
      for case .added(let object) in batch where isAnswered(object.value) { return object.value }
      for case .modified(let object) in batch where isAnswered(object.value) { return object.value }
    }
    return .null
  }

  private func isAnswered(_ request: Value) -> Bool {
    !request["status"]["certificate"].isNull || request["status"]["conditions"].array?.contains { $0["type"] == "Failed" } == true
  }

  @Test("an approved request of a user becomes a certificate that names him, for the time he asked for")
  func signed() async throws {
    try await TestPlane.with { test in
      let authority = try CertificateAuthority(
        .client, store: test.plane.store, sealer: Sealer(token: "a-test-token-of-some-length"))
      let running = Task { await test.plane.run(clientAuthority: authority) }
      defer { running.cancel() }
      _ = try await test.admin.create(
        Self.requests, namespace: "", body: try body("jane", user: "jane", groups: ["dev"]), WriteOptions())
      #expect(try await test.admin.get(Self.requests, ObjectKey(name: "jane")).value["status"]["certificate"].isNull)
      try await approve("jane", test.admin)
      let signed = try await answered("jane", test.admin)
      let text = String(decoding: try #require(Base64.decode(signed["status"]["certificate"].string ?? "")), as: UTF8.self)
      let certificate = try Certificate(pemEncoded: text)
      var der = DER.Serializer()
      try der.serialize(certificate)
      let identity = try #require(CertificateAuthority.identity(der: der.serializedBytes))
      #expect(identity.name == "jane" && identity.groups == ["dev"])
      let issuer = try Certificate(pemEncoded: authority.certificatePEM)
      #expect(issuer.publicKey.isValidSignature(certificate.signature, for: certificate))
      let seconds = certificate.notValidAfter.timeIntervalSince(certificate.notValidBefore)
      #expect(seconds >= 86_400 && seconds <= 86_400 + 3600)
      #expect(signed["status"]["conditions"].array?.count == 1)

      _ = try await test.admin.create(
        Self.requests, namespace: "", body: try body("server", user: "x", groups: [], usages: ["server auth"]), WriteOptions())
      try await approve("server", test.admin)
      let failed = try await answered("server", test.admin)
      #expect(failed["status"]["certificate"].isNull)
      #expect(failed["status"]["conditions"][1]["type"] == "Failed" || failed["status"]["conditions"][0]["type"] == "Failed")
    }
  }

  @Test("nobody asks for system:masters; who approves or signs needs the right for the signer")
  func restricted() async throws {
    try await TestPlane.with { test in
      let masters = await #expect(throws: APIError.self) {
        try await test.admin.create(
          Self.requests, namespace: "", body: try body("m", user: "m", groups: ["system:masters"]), WriteOptions())
      }
      #expect(
        masters?.message
          == "certificatesigningrequests.certificates.k8s.io \"m\" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
      )
      _ = try await test.admin.create(
        Self.requests, namespace: "", body: try body("jane", user: "jane", groups: ["dev"]), WriteOptions())
      let roles = GroupVersionResource(group: "rbac.authorization.k8s.io", resource: "clusterroles")
      func grant(_ name: String, _ rules: Value) async throws {
        _ = try await test.admin.create(
          roles, namespace: "", body: ["metadata": ["name": .string(name)], "rules": rules], WriteOptions())
        _ = try await test.admin.create(
          .clusterRoleBindings, namespace: "",
          body: [
            "metadata": ["name": .string(name)],
            "roleRef": ["kind": "ClusterRole", "name": .string(name), "apiGroup": "rbac.authorization.k8s.io"],
            "subjects": [["kind": "User", "name": "joe", "apiGroup": "rbac.authorization.k8s.io"]],
          ], WriteOptions())
      }
      let joe = test.plane.client(as: Identity(name: "joe", groups: ["system:authenticated"]))
      try await grant(
        "requests",
        [
          [
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests", "certificatesigningrequests/approval"], "verbs": ["get", "update"],
          ]
        ])
      let refused = await #expect(throws: APIError.self) { try await approve("jane", joe) }
      #expect(
        refused?.message.hasSuffix(
          "user not permitted to approve requests with signerName \"kubernetes.io/kube-apiserver-client\"") == true)
      try await grant(
        "signers",
        [
          [
            "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["kubernetes.io/*"],
            "verbs": ["approve"],
          ]
        ])
      try await approve("jane", joe)
    }
  }
}
