import Client
import ControlPlane
import HTTP
import NIOCore
import Schema
import Wire

/// `pods/log`: what a container wrote, streamed from its node.
extension KubernetesAPI {
  private static let logOptions: Set<String> = [
    "container", "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream",
    "insecureSkipTLSVerifyBackend", "pretty",
  ]

  /// Seconds: a hundred years.
  private static let longest = 100 * 366 * 86_400

  func podLog(_ request: Request) -> RequestPolicy {
    RequestPolicy(isLongLived: true) { [self] exchange in
      Task.detached {
        do throws(APIError) {
          try Self.checkLogOptions(request)
          let options = request.query.pairs.filter { Self.logOptions.contains($0.name) }.map {
            // Longer than anything has run; beyond, the node could not count it in nanoseconds.
            $0.name == "sinceSeconds" && (Int($0.value) ?? 0) > Self.longest ? ($0.name, String(Self.longest)) : $0
          }
          let stream = try await self.controlPlane.connect(request.key, subresource: "log", query: options)
          await self.copy(stream, to: exchange)
        } catch {
          self.fail(exchange, error)
        }
      }
    }
  }

  private static func checkLogOptions(_ request: Request) throws(APIError) {
    var causes: [APIError.Cause] = []
    for (name, least) in [("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)] {
      guard let number = try request.query.integer(name), number < least else { continue }
      causes.append(
        .init(
          reason: "FieldValueInvalid",
          message: "Invalid value: \(number): must be greater than \(least == 0 ? "or equal to 0" : "0")",
          field: name))
    }
    if request.query["sinceSeconds"] != nil, request.query["sinceTime"] != nil {
      causes.append(
        .init(
          reason: "FieldValueForbidden", message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
          field: ""))
    }
    guard !causes.isEmpty else { return }
    let list = causes.map { $0.field.isEmpty ? $0.message : "\($0.field): \($0.message)" }.joined(separator: ", ")
    var error = APIError(.invalid, "PodLogOptions \"\(request.key.name)\" is invalid: \(list)")
    error.name = request.key.name
    error.kind = "PodLogOptions"
    error.causes = causes
    throw error
  }

  /// Copies a plain stream into an answer, at the client's pace; an error before the first byte becomes a Status.
  private func copy(_ stream: any ByteStream, to exchange: Exchange) async {
    exchange.onClose { stream.close() }
    var writer: ResponseWriter?
    func open() -> ResponseWriter {
      if let writer { return writer }
      let opened = exchange.respond(status: 200, headers: [("content-type", "text/plain"), ("cache-control", "no-cache, private")])
      writer = opened
      return opened
    }
    do {
      for try await frame in stream.frames {
        guard frame.channel != ExecChannel.error else {
          if writer == nil, !frame.bytes.isEmpty {
            exchange.respond(HTTPResponse(500, type: "application/json", frame.bytes))
            return
          }
          continue
        }
        // An empty frame opens the answer: the container has written nothing yet.
        let writer = open()
        if !frame.bytes.isEmpty { try await writer.write(frame.bytes) }
      }
      open().finish()
    } catch let error as APIError {
      if writer == nil { fail(exchange, error) } else { exchange.abort() }
    } catch is HTTPBodyError {
      // The client went away; the node's side closes with the exchange.
    } catch {
      if writer == nil { fail(exchange, .internalError("\(error)")) } else { exchange.abort() }
    }
    stream.close()
  }
}
