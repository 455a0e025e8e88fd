"""`lamplighter run` with queues, topics and what ties functions to them."""
import json
import re
import time

import pytest
from conftest import PYTHON, free_port, lamplighter
from test_run import HEAD, application, function, refused, run, run_once, save  # noqa: F401 (a fixture)

TEMPLATE = HEAD + f"""Parameters:
  Batch: {{Type: Number, Default: 4}}
Resources:
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {PYTHON}
      Handler: app.handler
      CodeUri: worker/
      Environment: {{Variables: {{NEXT: !Ref Done, JOBS: !GetAtt Jobs.Arn, NEWS: !GetAtt News.TopicName}}}}
      Policies:
        - SQSSendMessagePolicy: {{QueueName: !GetAtt Done.QueueName}}
      DeadLetterQueue: {{Type: SQS, TargetArn: !GetAtt Failures.Arn}}
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig: {{OnFailure: {{Type: SQS}}}}
      Events:
        Jobs:
          Type: SQS
          Properties:
            Queue: !GetAtt Jobs.Arn
            BatchSize: !Ref Batch
            FunctionResponseTypes: [ReportBatchItemFailures]
            FilterCriteria: {{Filters: [{{Pattern: '{{"body": {{"kind": ["job"]}}}}'}}]}}
        News: {{Type: SNS, Properties: {{Topic: !Ref News, FilterPolicy: {{kind: [a, b]}}}}}}
        Buffered: {{Type: SNS, Properties: {{Topic: !Ref News, SqsSubscription: {{BatchSize: 3}}}}}}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 31
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt Failures.Arn, maxReceiveCount: 3}}
      Tags: [{{Key: team, Value: one}}]
  Failures: {{Type: AWS::SQS::Queue}}
  Done: {{Type: AWS::SQS::Queue, Properties: {{QueueName: done.fifo, FifoQueue: true, ContentBasedDeduplication: true}}}}
  News:
    Type: AWS::SNS::Topic
    Properties:
      DisplayName: All the news
      Subscription: [{{Protocol: sqs, Endpoint: !GetAtt Failures.Arn}}]
  Copy:
    Type: AWS::SNS::Subscription
    DependsOn: Letters
    Properties:
      TopicArn: !Ref News
      Protocol: sqs
      Endpoint: !GetAtt Jobs.Arn
      RawMessageDelivery: true
      FilterPolicyScope: MessageBody
      FilterPolicy: {{kind: [job]}}
  Letters:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Jobs, !Ref Failures]
      PolicyDocument:
        Statement: [{{Effect: Allow, Principal: {{Service: sns.amazonaws.com}}, Action: 'sqs:SendMessage', Resource: '*', Condition: {{ArnEquals: {{'aws:SourceArn': !Ref News}}}}}}]
Outputs:
  JobsUrl: {{Value: !Ref Jobs}}
  NewsArn: {{Value: !GetAtt News.TopicArn}}
  Mapping: {{Value: !Ref WorkerJobs}}
"""
WORKER = """import json, os
def handler(event, context):
    print('got', json.dumps(event))
    return {'batchItemFailures': []}
"""


def queue_url(sqs, prefix):
    [url] = sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]
    return url


def attributes(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def test_a_template_brings_queues_topics_and_what_ties_them(tmp_path, run):  # noqa: F811
    folder = application(tmp_path / "app", {"Worker": WORKER}, TEMPLATE)
    running = run(folder, "--watch")
    running.wait_for("watching")
    seen = "\n".join(running.seen)
    sqs, sns, aws = running.client("sqs"), running.client("sns"), running.client("lambda")

    url = queue_url(sqs, "app-Jobs-")
    name = url.rsplit("/", 1)[1]
    assert re.fullmatch(r"app-Jobs-[A-Z2-7]{12}", name)
    assert f"JobsUrl = {url}" in seen and f"queue {name} is at {url}" in seen
    assert f"queue {name} created in" in seen and "topic app-News-" in seen
    assert "Worker" in seen and f"is fed by" in seen, "it is not called with an empty event"
    jobs = attributes(sqs, url)
    assert (jobs["VisibilityTimeout"], sqs.list_queue_tags(QueueUrl=url)["Tags"]) == ("31", {"team": "one"})
    failures = queue_url(sqs, "app-Failures-")
    assert json.loads(jobs["RedrivePolicy"]) == {
        "deadLetterTargetArn": attributes(sqs, failures)["QueueArn"], "maxReceiveCount": 3}
    assert "sns.amazonaws.com" in jobs["Policy"]
    assert attributes(sqs, queue_url(sqs, "done.fifo"))["ContentBasedDeduplication"] == "true"

    topic = re.search(r"NewsArn = (arn:aws:sns:us-east-1:000000000000:app-News-[A-Z2-7]{12})", seen)[1]
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"] == "All the news"
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert sorted(one["Protocol"] for one in listed) == ["lambda", "sqs", "sqs", "sqs"]
    copy = next(one for one in listed if one["Endpoint"] == jobs["QueueArn"])
    copied = sns.get_subscription_attributes(SubscriptionArn=copy["SubscriptionArn"])["Attributes"]
    assert (copied["RawMessageDelivery"], copied["FilterPolicyScope"]) == ("true", "MessageBody")
    assert json.loads(copied["FilterPolicy"]) == {"kind": ["job"]}

    mappings = aws.list_event_source_mappings(FunctionName="app-Worker")["EventSourceMappings"]
    assert {one["BatchSize"] for one in mappings} == {3, 4}
    mapping = next(one for one in mappings if one["EventSourceArn"] == jobs["QueueArn"])
    assert f"Mapping = {mapping['UUID']}" in seen
    assert (mapping["FunctionResponseTypes"], mapping["State"]) == (["ReportBatchItemFailures"], "Enabled")
    worker = aws.get_function_configuration(FunctionName="app-Worker")
    environment = worker["Environment"]["Variables"]
    assert environment["NEXT"].endswith("/000000000000/done.fifo")
    assert (environment["JOBS"], environment["NEWS"]) == (jobs["QueueArn"], topic.rsplit(":", 1)[1])
    assert worker["DeadLetterConfig"]["TargetArn"] == attributes(sqs, failures)["QueueArn"]
    config = aws.get_function_event_invoke_config(FunctionName="app-Worker", Qualifier="$LATEST")
    assert config["MaximumRetryAttempts"] == 1
    made = queue_url(sqs, "app-WorkerEventInvokeConfigOnFailureQueue-")
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == attributes(sqs, made)["QueueArn"]
    policy = json.loads(aws.get_policy(FunctionName="app-Worker")["Policy"])
    assert policy["Statement"][0]["Principal"] == {"Service": "sns.amazonaws.com"}

    # All paths to the function: the queue, the topic, the queue behind the topic, the topic through the first queue.
    sqs.send_message(QueueUrl=url, MessageBody='{"kind": "job", "number": "first"}')
    sqs.send_message(QueueUrl=url, MessageBody='{"kind": "other", "number": "filtered"}')
    sns.publish(TopicArn=topic, Message="second", MessageAttributes={"kind": {"DataType": "String", "StringValue": "a"}})
    sns.publish(TopicArn=topic, Message='{"kind": "job", "number": "third"}')
    logs = running.client("logs")

    def log():
        try:
            events = logs.filter_log_events(logGroupName="/aws/lambda/app-Worker")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return ""
        return "".join(event["message"] for event in events if event["message"].startswith("got"))

    def all_came():
        text = log()
        return text if text.count("second") >= 2 and "first" in text and text.count("third") >= 2 else None

    text = wait_until(all_came)
    assert "aws:sns" in text and "aws:sqs" in text and "filtered" not in text

    # A save brings what changed, and messages stay.
    sqs.send_message(QueueUrl=failures, MessageBody="it stays")
    save(folder / "template.yaml", TEMPLATE.replace("VisibilityTimeout: 31", "DelaySeconds: 2").replace("[job]", "[task]"))
    running.wait_for(rf"queue {name} updated")
    running.wait_for("app-Worker unchanged")
    running.wait_for("subscription of .* updated")
    jobs = attributes(sqs, url)
    assert (jobs["VisibilityTimeout"], jobs["DelaySeconds"]) == ("30", "2")
    bodies = [m["Body"] for m in sqs.receive_message(QueueUrl=failures, MaxNumberOfMessages=10)["Messages"]]
    assert "it stays" in bodies
    save(folder / "template.yaml", TEMPLATE.replace("Default: 4", "Default: 6"))
    running.wait_for("mapping of app-Jobs-.* to app-Worker updated")
    assert {m["BatchSize"] for m in aws.list_event_source_mappings(FunctionName="app-Worker")["EventSourceMappings"]} == {3, 6}
    assert running.interrupt() == 0


def test_a_second_run_changes_nothing(tmp_path):
    folder = application(tmp_path / "app", {"Worker": WORKER}, TEMPLATE)
    # On one port: a queue's URL, which the function has in its environment, begins with it.
    listen = f"127.0.0.1:{free_port()}"
    command = ("run", folder, "--once", "--listen", listen, "--data", tmp_path / "data")
    first = lamplighter(*command)
    assert first.returncode == 0, first.stderr
    made = re.findall(r"^- (?:queue|topic|subscription|mapping) .* created in", first.stderr, re.M)
    assert len(made) == 5 + 1 + 3 + 2, first.stderr
    second = lamplighter(*command)
    assert second.returncode == 0, second.stderr
    assert "created" not in second.stderr and "updated" not in second.stderr, second.stderr
    assert sorted(re.findall(r"^queue .*? ", first.stdout, re.M)) == sorted(re.findall(r"^queue .*? ", second.stdout, re.M))


@pytest.mark.parametrize("addition, name, line", [
    ("  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      FifoQeue: true\n", "'FifoQeue'", 4),
    ("  T:\n    Type: AWS::SNS::Topic\n    Properties:\n      DeliveryStatusLogging: []\n", "'DeliveryStatusLogging'", 4),
    ("  Q:\n    Type: AWS::SQS::Queue\n    DependsOn: Nobody\n", "'Nobody'", 3),
    ("  M:\n    Type: AWS::Lambda::EventSourceMapping\n    Properties:\n      StartingPosition: LATEST\n", "'StartingPosition'", 4),
    (function("F", "good", "      Events: {Made: {Type: Kinesis, Properties: {}}}\n"), "'Kinesis'", 6),
    (function("F", "good", "      Policies:\n        - S3CrudPolicy: {BucketName: x}\n"), "'S3CrudPolicy'", 7),
    ("  F:\n    Type: AWS::Serverless::Function\n    Connectors: {}\n", "'Connectors'", 3),
])
def test_what_is_not_supported_is_refused_by_name_and_line(tmp_path, addition, name, line):
    folder = application(tmp_path / "app", {"Good": "def handler(e, c): return 1\n"})
    good = (folder / "template.yaml").read_text()
    (folder / "template.yaml").write_text(good + addition)
    message = refused(folder, tmp_path / "data")
    assert name in message, message
    found = int(re.search(r"line (\d+)", message).group(1)) - good.count("\n")
    assert line <= found <= line + 1, message


def test_a_circle_is_refused(tmp_path):
    folder = application(tmp_path / "app", {}, HEAD + """Resources:
  A: {Type: AWS::SQS::Queue, DependsOn: B}
  B: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub 'b-${A.QueueName}'}}
""")
    assert "Circular dependency between resources: [A, B]" in refused(folder, tmp_path / "data")


QUEUES = HEAD + """Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: jobs
      VisibilityTimeout: 31
      MaximumMessageSize: 2048
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Failures.Arn, maxReceiveCount: 3}
      Tags: [{Key: team, Value: one}]
  Failures:
    Type: AWS::SQS::Queue
    Properties: {KmsMasterKeyId: alias/mine, RedriveAllowPolicy: {redrivePermission: denyAll}}
  Ordered: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true, DeduplicationScope: messageGroup, FifoThroughputLimit: perMessageGroupId}}
  Letters:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Jobs]
      PolicyDocument: {Version: '2012-10-17', Statement: [{Effect: Allow, Principal: '*', Action: 'sqs:*', Resource: !GetAtt Jobs.Arn}]}
"""


def test_queues_are_changed_where_they_differ_and_nowhere_else(tmp_path):
    folder, data = application(tmp_path / "app", {}, QUEUES.replace("denyAll", "allowAll")), tmp_path / "data"

    def verbs(template):
        (folder / "template.yaml").write_text(template)
        outcome = run_once(folder, data)
        assert outcome.returncode == 0, outcome.stderr
        return [found[1] for found in re.finditer(r"^- (?:queue|policy) .* (\w+) in \d+ ms", outcome.stderr, re.M)]

    assert verbs(QUEUES.replace("denyAll", "allowAll")) == ["created", "created", "created", "updated"]
    assert verbs(QUEUES.replace("denyAll", "allowAll")) == ["unchanged"] * 4
    plainer = re.sub(r"      (VisibilityTimeout|MaximumMessageSize|RedrivePolicy|Tags).*\n", "", QUEUES)
    plainer = plainer.replace("alias/mine", "alias/other").replace(", FifoThroughputLimit: perMessageGroupId", "")
    changed = verbs(plainer.replace("Properties: {KmsMasterKeyId", "Properties: {KmsMasterKeyId"))
    assert changed == ["updated", "updated", "updated", "unchanged"], changed
    assert verbs(plainer) == ["unchanged"] * 4


TOPICS = HEAD + f"""Resources:
  News:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: news
      DisplayName: All
      SignatureVersion: '2'
      TracingConfig: Active
      Tags: [{{Key: team, Value: one}}]
      Subscription: [{{Protocol: email, Endpoint: someone@example.com}}, {{Protocol: sqs, Endpoint: !GetAtt Inbox.Arn}}]
  Ordered: {{Type: AWS::SNS::Topic, Properties: {{FifoTopic: true, ContentBasedDeduplication: true, ArchivePolicy: {{MessageRetentionPeriod: 7}}}}}}
  Inbox: {{Type: AWS::SQS::Queue, Properties: {{QueueName: inbox}}}}
  Lost: {{Type: AWS::SQS::Queue, Properties: {{QueueName: lost}}}}
  Reader:
    Type: AWS::SNS::Subscription
    Properties:
      TopicArn: !Ref News
      Protocol: lambda
      Endpoint: !GetAtt Read.Arn
      FilterPolicy: {{kind: [a, {{prefix: b}}]}}
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt Lost.Arn}}
  Read:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {PYTHON}
      Handler: app.handler
      CodeUri: read/
      AutoPublishAlias: live
      Events: {{News: {{Type: SNS, Properties: {{Topic: !Ref Ordered2}}}}}}
  Ordered2: {{Type: AWS::SNS::Topic}}
  Allowed:
    Type: AWS::Lambda::Permission
    Properties: {{Action: lambda:InvokeFunction, FunctionName: !Ref Read, Principal: sns.amazonaws.com, SourceArn: !Ref News}}
  Publishers:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref News]
      PolicyDocument: {{Version: '2012-10-17', Statement: [{{Effect: Allow, Principal: '*', Action: 'sns:Publish', Resource: !Ref News}}]}}
"""


def test_topics_are_changed_where_they_differ_and_nowhere_else(tmp_path):
    folder, data = application(tmp_path / "app", {"Read": "def handler(e, c): pass\n"}, TOPICS), tmp_path / "data"

    def verbs(template):
        (folder / "template.yaml").write_text(template)
        outcome = run_once(folder, data)
        assert outcome.returncode == 0, outcome.stderr
        kinds = "queue|topic|subscription|permission|policy"
        found = re.findall(rf"^- ((?:{kinds}) .*) (\w+) in \d+ ms", outcome.stderr, re.M)
        return {what: verb for what, verb in found}

    first = verbs(TOPICS)
    assert set(first.values()) == {"created", "updated"} and len(first) == 10, first
    again = verbs(TOPICS)
    assert set(again.values()) == {"unchanged"}, again
    other = re.sub(r"      (DisplayName|SignatureVersion|TracingConfig|Tags|FilterPolicy).*\n", "", TOPICS)
    other = other.replace("MessageRetentionPeriod: 7", "MessageRetentionPeriod: 8").replace("'sns:Publish'", "'sns:*'")
    other = other.replace("FunctionName: !Ref Read, ", "FunctionName: !Ref Read, SourceAccount: !Ref AWS::AccountId, ")
    changed = {what.split("-")[0] for what, verb in verbs(other).items() if verb == "updated"}
    assert changed == {
        "topic news", "topic app", "subscription of app", "permission Allowed", "policy Publishers"}, changed
    again = verbs(other)
    assert set(again.values()) == {"unchanged"}, again
