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
        let object = try controlPlane.get(request.kind, request.key, resourceVersion: request.query["resourceVersion"] ?? "")
        // YAML is written from a tree: half a second for the largest objects, which the loop does not have.
        if format.encoding == .yaml { return answer(exchange) { self.render(object, request, format) } }
        exchange.respond(render(object, request, format))
      } catch { fail(exchange, error) }
    }
  }
}
