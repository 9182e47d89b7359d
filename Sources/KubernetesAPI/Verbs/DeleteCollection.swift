import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

extension KubernetesAPI {
  /// Objects that one deletecollection deletes at once.
  private static let deletionsAtOnce = 64

  func deleteCollectionPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    let read = try readRequest(request)
    return RequestPolicy(body: .buffered(limit: configuration.bodyLimit)) { [self] exchange in
      let bytes = RequestBody.bytes(exchange)
      answer(exchange) { () throws(APIError) in
        let options = try self.deleteOptions(bytes, request)
        var cursor = try self.controlPlane.list(read)
        var objects: [EncodedObject] = []
        while let object = cursor.next() { objects.append(object) }
        try await self.delete(objects, options, request)
        // Upstream answers with what it deleted.
        return self.render(.objects(objects, revision: cursor.revision), request, format)
      }
    }
  }

  private func delete(_ objects: [EncodedObject], _ options: DeleteOptions, _ request: Request) async throws(APIError) {
    let failures = await withTaskGroup(of: APIError?.self) { group in
      var failures: [APIError] = []
      for (i, object) in objects.enumerated() {
        if i >= Self.deletionsAtOnce, let failure = await group.next() ?? nil { failures.append(failure) }
        group.addTask {
          do throws(APIError) {
            _ = try await self.controlPlane.delete(request.kind, object.key, options, identity: request.identity)
            return nil
          } catch { return error.reason == .notFound ? nil : error }
        }
      }
      for await failure in group { if let failure { failures.append(failure) } }
      return failures
    }
    if let first = failures.first { throw first }
  }
}
