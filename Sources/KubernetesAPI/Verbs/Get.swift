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
        requests.count(verb: "get", status: 200)
        exchange.respond(Rendering.response(object, request, format, schema: schema, now: controlPlane.clock.now()))
      } catch {
        requests.count(verb: "get", status: error.code)
        exchange.respond(StatusBody.response(error))
      }
    }
  }
}
