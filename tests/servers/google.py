"""Stand-ins for services of Google, which have no server to be had: the calls that the project
makes, over gRPC by their own messages."""
import contextlib
from collections.abc import Iterator
from concurrent import futures

import grpc
from google.cloud.secretmanager_v1 import types as secretmanager
from google.pubsub_v1 import types as pubsub


@contextlib.contextmanager
def serve(service: str, methods: dict) -> Iterator[str]:
  """Serves on a free port.

  Args:
    methods: name -> (type of the request, of the answer, function of request and context).
  Yields:
    host:port.
  """
  server = grpc.server(futures.ThreadPoolExecutor(4))
  server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {
      name: grpc.unary_unary_rpc_method_handler(
          function, request_deserializer=request.deserialize,
          response_serializer=answer.serialize)
      for name, (request, answer, function) in methods.items()})])
  port = server.add_insecure_port('localhost:0')
  server.start()
  try:
    yield f'localhost:{port}'
  finally:
    server.stop(None).wait()


def secret_manager(secrets: dict[str, str]):
  """Secret Manager: name without its version -> the newest version."""

  def access(request, context):
    name, _, version = request.name.partition('/versions/')
    if name not in secrets or version not in ('latest', '1'):
      context.abort(grpc.StatusCode.NOT_FOUND, f'Secret [{request.name}] not found.')
    return secretmanager.AccessSecretVersionResponse(
        name=request.name, payload={'data': secrets[name].encode()})

  return serve('google.cloud.secretmanager.v1.SecretManagerService', {'AccessSecretVersion': (
      secretmanager.AccessSecretVersionRequest, secretmanager.AccessSecretVersionResponse,
      access)})


def subscriber(answers: dict):
  """The subscriber of Pub/Sub: subscription -> None, or a code that it is refused with."""

  def get(request, context):
    code = answers.get(request.subscription, grpc.StatusCode.NOT_FOUND)
    if code:
      context.abort(code, 'refused')
    return pubsub.Subscription(name=request.subscription)

  return serve('google.pubsub.v1.Subscriber', {'GetSubscription': (
      pubsub.GetSubscriptionRequest, pubsub.Subscription, get)})
