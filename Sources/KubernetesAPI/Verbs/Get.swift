import Client
import ControlPlane
import HTTP
import Schema
import Wire

/// GET of one object: copied from the cache inside the event loop.
extension KubernetesAPI {
  func getPolicy(_ request: Request) throws(APIError) -> RequestPolicy {
    let format = try Negotiation.output(request.head, request.query)
    return RequestPolicy { [self] exchange in
      do throws(APIError) {
        exchange.respond(
          render(
            try controlPlane.get(request.kind, request.key, resourceVersion: request.query["resourceVersion"] ?? ""), request,
            format))
      } catch { fail(exchange, error) }
    }
  }
}
