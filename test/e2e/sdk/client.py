"""A user's program on the generated Python SDK: deploys, invokes, reads back, cleans up. Prints one JSON line."""

import json
import sys
import time

import grpc
from weft.action.v1 import action_pb2, action_pb2_grpc
from weft.activation.v1 import activation_pb2, activation_pb2_grpc
from weft.invoke.v1 import invoke_pb2, invoke_pb2_grpc

address, authorization = sys.argv[1:3]
metadata = [("authorization", authorization)]
code = b'exports.main = ({ name }) => ({ msg: "Hello, " + name });'

with grpc.insecure_channel(address) as channel:
    actions = action_pb2_grpc.ActionServiceStub(channel)
    invoker = invoke_pb2_grpc.InvokeServiceStub(channel)
    activations = activation_pb2_grpc.ActivationServiceStub(channel)

    created = actions.CreateAction(
        action_pb2.CreateActionRequest(
            action=action_pb2.Action(
                namespace="_", name="sdk-python", exec=action_pb2.Exec(kind="nodejs:default", code=code)
            )
        ),
        metadata=metadata,
        timeout=30,
    )
    answer = invoker.Invoke(
        invoke_pb2.InvokeRequest(namespace="_", action="sdk-python", params_json='{"name":"Ada"}', blocking=True),
        metadata=metadata,
        timeout=60,
    )
    record = None
    for _ in range(100):
        try:
            record = activations.GetActivation(
                activation_pb2.GetActivationRequest(namespace="_", activation_id=answer.activation_id),
                metadata=metadata,
                timeout=10,
            )
            break
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            time.sleep(0.05)
    try:
        actions.CreateAction(
            action_pb2.CreateActionRequest(action=action_pb2.Action(namespace="_", name="sdk-python")),
            metadata=metadata,
            timeout=10,
        )
        refusal = "none"
    except grpc.RpcError as error:
        refusal = error.code().name
    actions.DeleteAction(
        action_pb2.DeleteActionRequest(namespace="_", name="sdk-python"), metadata=metadata, timeout=10
    )

print(
    json.dumps(
        {
            "version": created.version,
            "result": json.loads(answer.activation.result_json),
            "recorded": json.loads(record.result_json) if record else None,
            "refusal": refusal,
        }
    )
)
