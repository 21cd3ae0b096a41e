"""Stacks on the emulator."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from django.conf import settings


def client(service: str) -> Any:
    """Return a client of one of the emulator's services."""
    return boto3.session.Session(region_name=settings.AWS_REGION).client(
        service, endpoint_url=settings.SQS_ENDPOINT_URL
    )


@contextmanager
def made_stack(template: str, *, prefix: str) -> Iterator[dict[str, str]]:
    """Create the stack; yield its outputs."""
    clouds, name = client("cloudformation"), f"counterpoint-{uuid.uuid4().hex[:8]}"
    clouds.create_stack(
        StackName=name,
        TemplateBody=template,
        Parameters=[{"ParameterKey": "Prefix", "ParameterValue": prefix}],
        Capabilities=["CAPABILITY_IAM"],
    )
    waiter = clouds.get_waiter("stack_create_complete")
    waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    [stack] = clouds.describe_stacks(StackName=name)["Stacks"]
    yield {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    clouds.delete_stack(StackName=name)


def document(policy_arn: str) -> dict[str, Any]:
    """Return a managed policy's document, its references resolved."""
    iam = client("iam")
    version = iam.get_policy(PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
    answer = iam.get_policy_version(PolicyArn=policy_arn, VersionId=version)
    found: dict[str, Any] = answer["PolicyVersion"]["Document"]
    return found
