"""The CloudFormation template of the declared queues: alarms, and a policy for each process.

It has the attributes that `ensure_queues` gives, from the same functions. Names are the declared
ones behind the parameter `Prefix`, which must be the processes' SQS_QUEUE_PREFIX.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from counterpoint import provision
from counterpoint.policies import Statement, policies
from counterpoint.queues import Queue

Json = dict[str, Any]
REFERENCE = re.compile(r'\{\s*"(?:Ref|Fn::Sub|Fn::GetAtt)":[^{}]*(?:\{\w+\}[^{}]*)?\}')

PARAMETERS: Json = {
    "Prefix": {
        "Type": "String",
        "Default": "counterpoint-",
        "AllowedPattern": "[A-Za-z0-9_-]{0,40}",
        "Description": "Comes before the name of each queue: SQS_QUEUE_PREFIX of the processes.",
    },
    "AlarmTopicArn": {
        "Type": "String",
        "Default": "",
        "Description": "The SNS topic that alarms go to. Empty: they show in CloudWatch only.",
    },
    "OldestMessageSeconds": {
        "Type": "Number",
        "Default": 900,
        "MinValue": 60,
        "Description": "How old the oldest message of a queue may be before its alarm goes off.",
    },
}


def template(queues: Sequence[Queue]) -> Json:
    """Return the template of these queues."""
    resources: Json = {}
    for queue in queues:
        resources |= _queue(queue) | _alarms(queue)
    described = policies(queues)
    for name, (description, statements) in described.items():
        resources[f"{name}Policy"] = _policy(description, statements)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Counterpoint: SQS queues with dead-letter queues, alarms, IAM policies.",
        "Parameters": PARAMETERS,
        "Conditions": {"HasAlarmTopic": {"Fn::Not": [{"Fn::Equals": [ref("AlarmTopicArn"), ""]}]}},
        "Resources": resources,
        "Outputs": _outputs(queues, described),
    }


def text(queues: Sequence[Queue]) -> str:
    """Return the template as the file's text, a reference in one line.

    CloudFormation takes 51,200 bytes; a longer template must come from S3.
    """
    return REFERENCE.sub(_in_a_line, json.dumps(template(queues), indent=2)) + "\n"


def _in_a_line(found: re.Match[str]) -> str:
    return json.dumps(json.loads(found[0]))


def ref(name: str) -> Json:
    return {"Ref": name}


def arn(name: str) -> Json:
    """Return the ARN of a queue, by its declared name."""
    return {"Fn::GetAtt": [logical_id(name), "Arn"]}


def logical_id(name: str) -> str:
    """Return the resource's name in the template: `orders-dlq` is OrdersDlqQueue."""
    parts = name.replace("_", "-").split("-")
    return "".join(part[:1].upper() + part[1:] for part in parts) + "Queue"


def _queue(queue: Queue) -> Json:
    attributes: Json = dict(provision.attributes(queue, ""))
    redrive = json.loads(attributes.pop("RedrivePolicy"))
    redrive["deadLetterTargetArn"] = arn(queue.dead_letter_name)
    return {
        logical_id(queue.dead_letter_name): _resource(
            queue, queue.dead_letter_name, provision.dead_letter_attributes()
        ),
        logical_id(queue.name): _resource(queue, queue.name, attributes, RedrivePolicy=redrive),
    }


def _resource(queue: Queue, name: str, attributes: dict[str, str], **more: Json) -> Json:
    numbers = {key: int(value) for key, value in attributes.items()}
    made: Json = {
        "Type": "AWS::SQS::Queue",
        "Properties": {"QueueName": _named(name), **numbers, **more},
    }
    if not queue.consumed_by_worker:
        # What comes from outside is nowhere else; a worker's message is sent again from Postgres.
        made |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return made


def _named(name: str) -> Json:
    return {"Fn::Sub": f"${{Prefix}}{name}"}


def _alarms(queue: Queue) -> Json:
    return {
        f"{logical_id(queue.dead_letter_name)}DepthAlarm": _alarm(
            queue.dead_letter_name,
            "ApproximateNumberOfMessagesVisible",
            0,
            f"There are messages in the dead-letter queue of {queue.name}.",
        ),
        f"{logical_id(queue.name)}AgeAlarm": _alarm(
            queue.name,
            "ApproximateAgeOfOldestMessage",
            ref("OldestMessageSeconds"),
            f"Messages wait for too long in {queue.name}: see whether anybody consumes it.",
        ),
    }


def _alarm(name: str, metric: str, threshold: object, description: str) -> Json:
    actions = {"Fn::If": ["HasAlarmTopic", [ref("AlarmTopicArn")], ref("AWS::NoValue")]}
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Sub": f"${{Prefix}}{name}-{'depth' if threshold == 0 else 'age'}"},
            "AlarmDescription": description,
            "Namespace": "AWS/SQS",
            "MetricName": metric,
            "Dimensions": [
                {"Name": "QueueName", "Value": {"Fn::GetAtt": [logical_id(name), "QueueName"]}}
            ],
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 2,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": threshold,
            # SQS tells nothing of a queue that is not used.
            "TreatMissingData": "notBreaching",
            "AlarmActions": actions,
            "OKActions": actions,
        },
    }


def _policy(description: str, statements: Iterable[Statement]) -> Json:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": description,
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": statement.sid,
                        "Effect": "Allow",
                        "Action": list(statement.actions),
                        "Resource": [arn(name) for name in statement.queues] or "*",
                    }
                    for statement in statements
                ],
            },
        },
    }


def _outputs(queues: Iterable[Queue], named: Iterable[str]) -> Json:
    found: Json = {
        f"{name}PolicyArn": {
            "Description": f"Attach it to the role of {name.lower()}.",
            "Value": ref(f"{name}Policy"),
        }
        for name in named
    }
    for queue in queues:
        if not queue.consumed_by_worker:
            name = logical_id(queue.name)
            found[f"{name}Url"] = {"Description": "For producers.", "Value": ref(name)}
    return found
