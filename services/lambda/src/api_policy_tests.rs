//! Resource policies for callers that no HTTP client can be: services, on behalf of a resource.

use super::*;

const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:hello";
const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:topic";

impl House {
    /// Invoke as a service, on behalf of a resource.
    async fn invoke_as(&self, host: &'static str, source: &str, more: Value) -> Result<Doc, ApiError> {
        let call = self.door.call(Principal::Service(host), AccountId::DEFAULT, Region::default());
        let mut input = json!({ "FunctionName": ARN });
        merged(&mut input, more);
        self.door.enter(call.on_behalf_of(source), "lambda", "Invoke", doc(&input)).await
    }

    async fn permit(&self, sid: &str, principal: &str, conditions: Value) {
        let mut input = json!({
            "FunctionName": "hello", "StatementId": sid, "Principal": principal, "Action": "lambda:InvokeFunction",
        });
        merged(&mut input, conditions);
        self.ask("AddPermission", input).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_needs_a_permission_for_what_it_calls_on_behalf_of() {
    let house = House::new();
    house.create("hello", "one").await;
    let (code, status, message) = refusal(house.invoke_as("sns.amazonaws.com", TOPIC, json!({})).await);
    assert_eq!((code.as_str(), status), ("AccessDeniedException", 403));
    assert_eq!(
        message,
        format!(
            "User: sns.amazonaws.com is not authorized to perform: lambda:InvokeFunction on resource: {ARN} because no \
             resource-based policy allows the lambda:InvokeFunction action"
        )
    );
    house
        .permit("topic", "sns.amazonaws.com", json!({ "SourceArn": TOPIC, "SourceAccount": "111122223333" }))
        .await;
    for how in ["RequestResponse", "DryRun"] {
        house.invoke_as("sns.amazonaws.com", TOPIC, json!({ "InvocationType": how })).await.unwrap();
    }
    let other = "arn:aws:sns:us-east-1:111122223333:other";
    for (host, source) in [("sns.amazonaws.com", other), ("s3.amazonaws.com", TOPIC)] {
        let refused = refusal(house.invoke_as(host, source, json!({})).await);
        assert_eq!(refused.0, "AccessDeniedException", "{host} {source}");
    }
    let other_account = refusal(
        house.invoke_as("sns.amazonaws.com", "arn:aws:sns:us-east-1:444455556666:topic", json!({})).await,
    );
    assert_eq!(other_account.0, "AccessDeniedException");
}

#[tokio::test]
async fn a_bucket_belongs_to_the_account_of_the_call() {
    let house = House::new();
    house.create("hello", "one").await;
    let conditions = json!({ "SourceArn": "arn:aws:s3:::bucket*", "SourceAccount": "000000000000" });
    house.permit("bucket", "s3.amazonaws.com", conditions).await;
    house.invoke_as("s3.amazonaws.com", "arn:aws:s3:::bucket-1", json!({})).await.unwrap();
    let refused = refusal(house.invoke_as("s3.amazonaws.com", "arn:aws:s3:::other", json!({})).await);
    assert_eq!(refused.0, "AccessDeniedException");
}
