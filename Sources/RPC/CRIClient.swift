import Wire

/// The container runtime interface of one runtime, method by method, in ``Wire/Value``s.
package struct CRIClient: Sendable {
  package let connection: GRPCClient
  private let table = ProtoTable.cri

  package init(_ connection: GRPCClient) { self.connection = connection }

  /// - Parameter method: `RunPodSandbox`, `PullImage`, …; the service follows from it.
  package func call(_ method: String, _ request: Value = .emptyObject, deadline: Duration? = .seconds(120)) async throws(GRPCError)
    -> Value
  {
    for service in ["RuntimeService", "ImageService"] {
      guard let types = table.methods["\(service)/\(method)"] else { continue }
      let body: [UInt8]
      do throws(ProtoTable.Failure) { body = try table.encode(request, as: types.request) } catch {
        throw GRPCError(.invalidArgument, "\(error)")
      }
      let answer = try await connection.unary("/runtime.v1.\(service)/\(method)", body, deadline: deadline)
      do throws(ProtoTable.Failure) { return try table.decode(answer, as: types.response) } catch {
        throw GRPCError(.internalError, "\(error)")
      }
    }
    throw GRPCError(.unimplemented, "CRI has no method \(method)")
  }
}
