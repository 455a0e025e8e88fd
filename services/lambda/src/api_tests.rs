//! The API through the front door, over a store in memory and packages on disk; the functions are "run" by a stand-in
//! that reads what a box would.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Mutex;

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use bytes::Bytes;
use frontdoor::{FrontDoor, FrontDoorHandle};
use serde_json::{Value, json};
use service_delivery::Delivery;
use store::{BlobStore, Store};
use wire::Doc;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::function::{Architecture, FunctionConfig};
use crate::invoke::{Invocation, Outcome, Streaming};
use crate::invoker::{Invoker, Invoking, Opening};

const ROLE: &str = "arn:aws:iam::000000000000:role/lambda";

/// Answers with the function's code, settings and event, as they reached it.
#[derive(Default)]
struct StandIn {
    retired: Mutex<Vec<(String, u64)>>,
}

impl Invoker for StandIn {
    fn invoke(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Invoking<'_> {
        Box::pin(async move {
            let code = std::fs::read_to_string(function.code.unpacked_dir.join("index.py")).unwrap();
            let answer = json!({
                "code": code,
                "environment": function.environment,
                "generation": function.generation,
                "event": serde_json::from_slice::<Value>(&invocation.payload).unwrap(),
                "context": invocation.client_context,
            });
            Ok(Outcome {
                payload: answer.to_string().into(),
                function_error: None,
                log_tail_base64: invocation.want_tail.then(|| "dGFpbA==".to_owned()),
                executed_version: function.version.clone(),
                duration_ms: 1.0,
                billed_ms: 1,
                init_ms: None,
                cold: false,
                max_memory_mib: 1,
            })
        })
    }

    fn invoke_streaming(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Opening<'_> {
        Box::pin(async move { self.invoke(function, invocation).await.map(Streaming::whole) })
    }

    fn retire(&self, arn: &str, before_generation: u64) {
        self.retired.lock().unwrap().push((arn.to_owned(), before_generation));
    }
}

struct House {
    door: FrontDoor,
    clock: Clock,
    invoker: Arc<StandIn>,
    lambda: Arc<Lambda>,
    _dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_memory().unwrap();
        Self::over(store, dir)
    }

    fn over(store: Store, dir: tempfile::TempDir) -> Self {
        let clock = Clock::frozen(Timestamp(1_795_420_000_000));
        let invoker = Arc::<StandIn>::default();
        let handle = FrontDoorHandle::new();
        let lambda = Lambda::new(LambdaDeps {
            store,
            blobs: BlobStore::open(dir.path().join("blobs")).unwrap(),
            invoker: invoker.clone(),
            delivery: Delivery::new(handle.clone()),
            sources: service_sources::Sources::new(handle.clone()),
            clock: clock.clone(),
            data_dir: dir.path().to_owned(),
            runtimes: Arc::new(|_| Ok(())),
            limits: AccountLimits::default(),
            access_points: AccessPoints::default(),
            code_url: Some(Arc::new(|digest| format!("http://127.0.0.1:4566/code/{digest}"))),
            gateway_port: 4566,
        })
        .unwrap();
        let door =
            FrontDoor::builder(clock.clone()).add(service(Arc::clone(&lambda))).handle(&handle).build();
        House { door, clock, invoker, lambda, _dir: dir }
    }

    async fn ask_as(&self, account: AccountId, operation: &str, input: Doc) -> Result<Doc, ApiError> {
        let call = self.door.call(Principal::Root { account }, account, Region::default());
        self.door.enter(call, "lambda", operation, input).await
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Doc, ApiError> {
        self.ask_as(AccountId::DEFAULT, operation, doc(&input)).await
    }

    async fn create(&self, name: &str, code: &str) -> Doc {
        self.ask_as(AccountId::DEFAULT, "CreateFunction", creation(name, zip_of(code), json!({})))
            .await
            .unwrap()
    }

    /// The error of a creation with these members in place of the usual ones.
    async fn refused(&self, members: Value) -> (String, u16, String) {
        let input = creation("hello", zip_of("x"), members);
        refusal(self.ask_as(AccountId::DEFAULT, "CreateFunction", input).await)
    }

    async fn answer(&self, name: &str) -> Value {
        let answer = self.ask("Invoke", json!({ "FunctionName": name })).await.unwrap();
        serde_json::from_slice(answer.get("Payload").unwrap().as_blob().unwrap()).unwrap()
    }
}

fn doc(value: &Value) -> Doc {
    wire::doc::to_doc(value).unwrap()
}

/// `base` with the members of `more` set, whatever was there; null takes a member away.
fn merged(base: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        base[key] = value.clone();
    }
    base.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

fn put_blob(input: &mut Doc, name: &'static str, blob: Bytes) {
    let Doc::Map(members) = input else { panic!("not a structure") };
    members.push((name.into(), Doc::Blob(blob)));
}

fn creation(name: &str, zip: Bytes, more: Value) -> Doc {
    let mut input = json!({
        "FunctionName": name, "Runtime": "python3.12", "Handler": "index.handler", "Role": ROLE,
    });
    let own_code = more.get("Code").is_some();
    merged(&mut input, more);
    let mut input = doc(&input);
    if !own_code {
        let mut code = Doc::empty();
        put_blob(&mut code, "ZipFile", zip);
        let Doc::Map(members) = &mut input else { panic!("not a structure") };
        members.push(("Code".into(), code));
    }
    input
}

fn zip_of(content: &str) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("index.py", SimpleFileOptions::default()).unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner().into()
}

fn new_code(name: &str, code: &str, more: Value) -> Doc {
    let mut input = json!({ "FunctionName": name });
    merged(&mut input, more);
    let mut input = doc(&input);
    put_blob(&mut input, "ZipFile", zip_of(code));
    input
}

fn refusal(result: Result<Doc, ApiError>) -> (String, u16, String) {
    let error = result.unwrap_err();
    assert_eq!(error.detail, None, "{error}");
    (error.code.to_string(), error.http_status(), error.message)
}

fn text<'a>(doc: &'a Doc, path: &str) -> &'a str {
    path.split('.')
        .fold(doc, |doc, name| doc.get(name).unwrap_or_else(|| panic!("no {path}")))
        .as_str()
        .unwrap()
}

#[tokio::test]
async fn a_function_is_created_shown_and_run() {
    let house = House::new();
    let created = house.create("hello", "one").await;
    assert_eq!(text(&created, "FunctionArn"), "arn:aws:lambda:us-east-1:000000000000:function:hello");
    assert_eq!(text(&created, "State"), "Pending");
    assert_eq!(text(&created, "StateReasonCode"), "Creating");
    assert_eq!(created.get("LastUpdateStatus"), None);
    assert_eq!(text(&created, "LastModified"), "2026-11-23T07:46:40.000+0000");
    assert_eq!(text(&created, "Version"), "$LATEST");
    assert_eq!(text(&created, "PackageType"), "Zip");
    assert_eq!(text(&created, "LoggingConfig.LogGroup"), "/aws/lambda/hello");
    assert_eq!(text(&created, "LoggingConfig.LogFormat"), "Text");
    assert_eq!(text(&created, "SnapStart.OptimizationStatus"), "Off");
    assert_eq!(text(&created, "TracingConfig.Mode"), "PassThrough");
    assert_eq!(created.get("MemorySize").unwrap().as_int(), Some(128));
    assert_eq!(created.get("Timeout").unwrap().as_int(), Some(3));
    assert_eq!(created.get("CodeSize").unwrap().as_int(), Some(zip_of("one").len() as i64));
    assert_eq!(text(&created, "CodeSha256"), crate::package::Digest::of(&zip_of("one")).base64());
    assert_eq!(created.get("Environment"), None);

    let shown = house.ask("GetFunctionConfiguration", json!({ "FunctionName": "hello" })).await.unwrap();
    assert_eq!(text(&shown, "State"), "Active");
    assert_eq!(text(&shown, "LastUpdateStatus"), "Successful");
    assert_eq!(text(&shown, "RevisionId"), text(&created, "RevisionId"));

    let whole =
        house.ask("GetFunction", json!({ "FunctionName": "hello", "Qualifier": "$LATEST" })).await.unwrap();
    assert!(text(&whole, "Configuration.FunctionArn").ends_with(":function:hello:$LATEST"));
    assert_eq!(text(&whole, "Code.RepositoryType"), "S3");
    let hex = text(&whole, "Code.Location").rsplit('/').next().unwrap().to_owned();
    let zip = house.lambda.zip_path(&hex).unwrap().unwrap();
    assert_eq!(std::fs::read(zip).unwrap(), zip_of("one"));
    assert_eq!(house.lambda.zip_path("../../etc/passwd").unwrap(), None);
    assert_eq!(whole.get("Tags"), None);

    assert_eq!(house.answer("hello").await["code"], "one");
    assert_eq!(house.answer("hello").await["event"], json!({}));
}

#[tokio::test]
async fn no_invoke_sees_what_was_before_an_update() {
    let house = House::new();
    house.create("hello", "one").await;
    for round in 0..20 {
        let (code, stage) = (format!("code {round}"), format!("stage {round}"));
        let updated = house
            .ask_as(AccountId::DEFAULT, "UpdateFunctionCode", new_code("hello", &code, json!({})))
            .await
            .unwrap();
        assert_eq!(text(&updated, "LastUpdateStatus"), "InProgress");
        assert_eq!(house.answer("hello").await["code"], code.as_str());
        let variables =
            json!({ "FunctionName": "hello", "Environment": { "Variables": { "STAGE": stage } } });
        house.ask("UpdateFunctionConfiguration", variables).await.unwrap();
        let answer = house.answer("hello").await;
        assert_eq!((&answer["code"], &answer["environment"]["STAGE"]), (&json!(code), &json!(stage)));
        let (_, retired) = house.invoker.retired.lock().unwrap().last().cloned().unwrap();
        assert_eq!(answer["generation"], retired);
    }
}

/// Invokes that race with updates: each one reads the round of the last update that was answered before it began,
/// and may see that round or a later one, never an earlier one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invokes_that_race_with_updates_never_see_the_past() {
    use std::sync::atomic::{AtomicU64, Ordering};
    const ROUNDS: u64 = 30;
    let house = Arc::new(House::new());
    house.create("hello", "0").await;
    let answered = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (house, answered) = (Arc::clone(&house), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut invokes = 0;
                while answered.load(Ordering::Acquire) < ROUNDS {
                    let before = answered.load(Ordering::Acquire);
                    let seen: u64 = house.answer("hello").await["code"].as_str().unwrap().parse().unwrap();
                    assert!(seen >= before, "round {before} was answered, an invoke saw {seen}");
                    invokes += 1;
                }
                invokes
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        let input = new_code("hello", &round.to_string(), json!({}));
        house.ask_as(AccountId::DEFAULT, "UpdateFunctionCode", input).await.unwrap();
        answered.store(round, Ordering::Release);
    }
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let house = House::new();
    let created = house.create("hello", "one").await;
    house.clock.advance(std::time::Duration::from_secs(60));
    let first_revision = text(&created, "RevisionId").to_owned();
    let update = json!({
        "FunctionName": "hello", "Timeout": 30, "MemorySize": 1769, "Description": "d", "RevisionId": first_revision,
        "EphemeralStorage": { "Size": 1024 }, "LoggingConfig": { "LogFormat": "JSON", "SystemLogLevel": "WARN" },
        "Handler": "other.handler", "Runtime": "python3.13", "TracingConfig": { "Mode": "PassThrough" },
        "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [] }, "SnapStart": { "ApplyOn": "None" }, "Layers": [],
        "DeadLetterConfig": {}, "KMSKeyArn": "", "FileSystemConfigs": [],
    });
    let updated = house.ask("UpdateFunctionConfiguration", update.clone()).await.unwrap();
    assert_eq!(updated.get("Timeout").unwrap().as_int(), Some(30));
    assert_eq!(updated.get("MemorySize").unwrap().as_int(), Some(1769));
    assert_eq!(text(&updated, "Handler"), "other.handler");
    assert_eq!(text(&updated, "Runtime"), "python3.13");
    assert_eq!(text(&updated, "Role"), ROLE);
    assert_eq!(text(&updated, "CodeSha256"), text(&created, "CodeSha256"));
    assert_eq!(text(&updated, "LoggingConfig.SystemLogLevel"), "WARN");
    assert_eq!(text(&updated, "LoggingConfig.ApplicationLogLevel"), "INFO");
    assert_eq!(text(&updated, "LastModified"), "2026-11-23T07:47:40.000+0000");
    assert_ne!(text(&updated, "RevisionId"), first_revision);

    let (code, status, message) = refusal(house.ask("UpdateFunctionConfiguration", update).await);
    assert_eq!((code.as_str(), status), ("PreconditionFailedException", 412));
    assert!(message.starts_with("The Revision Id provided does not match the latest Revision Id."));
    let stale = new_code("hello", "two", json!({ "RevisionId": first_revision }));
    let (code, ..) = refusal(house.ask_as(AccountId::DEFAULT, "UpdateFunctionCode", stale).await);
    assert_eq!(code, "PreconditionFailedException");
}

#[tokio::test]
async fn a_dry_run_and_a_refused_zip_change_nothing() {
    let house = House::new();
    let created = house.create("hello", "one").await;
    let input = new_code("hello", "two", json!({ "DryRun": true }));
    let dry = house.ask_as(AccountId::DEFAULT, "UpdateFunctionCode", input).await.unwrap();
    assert_ne!(text(&dry, "CodeSha256"), text(&created, "CodeSha256"));
    let mut bad = doc(&json!({ "FunctionName": "hello" }));
    put_blob(&mut bad, "ZipFile", Bytes::from_static(b"no zip"));
    let (code, status, message) = refusal(house.ask_as(AccountId::DEFAULT, "UpdateFunctionCode", bad).await);
    assert_eq!((code.as_str(), status), ("InvalidParameterValueException", 400));
    assert_eq!(message, "Could not unzip uploaded file. Please check your file, then try to upload again.");
    let shown = house.ask("GetFunctionConfiguration", json!({ "FunctionName": "hello" })).await.unwrap();
    assert_eq!(text(&shown, "RevisionId"), text(&created, "RevisionId"));
    assert_eq!(house.answer("hello").await["code"], "one");
    assert_eq!(house.invoker.retired.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn creations_that_are_refused_say_why_and_leave_no_function() {
    let house = House::new();
    let invalid = "InvalidParameterValueException";
    let table = [
        (json!({ "Runtime": null }), invalid, "Runtime and Handler are mandatory parameters"),
        (json!({ "Handler": null }), invalid, "Runtime and Handler are mandatory parameters"),
        (json!({ "Runtime": "cobol85" }), invalid, "Value cobol85 at 'runtime' failed to satisfy constraint"),
        (json!({ "Runtime": "python2.7" }), invalid, "is no longer supported for creating or updating"),
        (json!({ "Runtime": "dotnet8" }), invalid, "dotnet8 is not supported by this platform yet"),
        (json!({ "Timeout": 901 }), invalid, "'Timeout' value failed to satisfy constraint"),
        (json!({ "MemorySize": 10_241 }), invalid, "'MemorySize' value failed to satisfy constraint"),
        (json!({ "Environment": { "Variables": { "AWS_REGION": "x" } } }), invalid, "reserved keys"),
        (
            json!({ "Environment": { "Variables": { "BIG": "x".repeat(5000) } } }),
            invalid,
            "exceeded the 4KB limit",
        ),
        (json!({ "Code": {} }), invalid, "Please provide a source for function code."),
        (json!({ "Tags": { "aws:x": "y" } }), invalid, "aws: prefixed tag key names"),
        (
            json!({ "LoggingConfig": { "LogFormat": "Text", "SystemLogLevel": "INFO" } }),
            invalid,
            "set your log format to JSON",
        ),
        (
            json!({ "Role": "arn:aws:iam::123456789012:role/x" }),
            "AccessDeniedException",
            "Cross-account pass role",
        ),
        (
            json!({ "FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:hello" }),
            "ResourceNotFoundException",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
        (
            json!({ "Code": { "S3Bucket": "bucket", "S3Key": "key" } }),
            "UnsupportedParameterException",
            "parameter S3Bucket of operation CreateFunction is not supported yet",
        ),
        (json!({ "Code": { "ImageUri": "image" } }), "UnsupportedParameterException", "ImageUri"),
        (json!({ "PackageType": "Image" }), "UnsupportedParameterException", "PackageType=Image"),
        (
            json!({ "Runtime": "python3.11", "SnapStart": { "ApplyOn": "PublishedVersions" } }),
            "InvalidParameterValueException",
            "python3.11 is not supported for SnapStart enabled functions.",
        ),
        (
            json!({ "DurableConfig": { "ExecutionTimeout": 5 } }),
            "UnsupportedParameterException",
            "DurableConfig",
        ),
    ];
    for (members, code, part) in table {
        let shown = members.to_string();
        let (got, _, message) = house.refused(members).await;
        assert_eq!(got, code, "{shown}: {message}");
        assert!(message.contains(part), "{shown}: {message}");
    }
    let other = if Architecture::host() == Architecture::X86_64 { "arm64" } else { "x86_64" };
    let (code, _, message) = house.refused(json!({ "Architectures": [other] })).await;
    assert_eq!(code, "UnsupportedParameterException", "{message}");

    // The model's own constraints, in the words of the wire layer.
    for members in
        [json!({ "Role": "no-role" }), json!({ "FunctionName": "a b" }), json!({ "FunctionName": "" })]
    {
        let (_, status, message) = house.refused(members).await;
        assert_eq!(status, 400);
        assert!(message.contains("validation error"), "{message}");
    }
    let usage = house.ask("GetAccountSettings", json!({})).await.unwrap();
    assert_eq!(usage.get("AccountUsage").unwrap().get("FunctionCount").unwrap().as_int(), Some(0));
}

#[tokio::test]
async fn a_name_is_taken_once_and_free_after_deletion() {
    let house = House::new();
    house.create("hello", "one").await;
    let again = creation("hello", zip_of("two"), json!({}));
    let (code, status, message) = refusal(house.ask_as(AccountId::DEFAULT, "CreateFunction", again).await);
    assert_eq!(
        (code.as_str(), status, message.as_str()),
        ("ResourceConflictException", 409, "Function already exist: hello")
    );

    let latest = json!({ "FunctionName": "hello", "Qualifier": "$LATEST" });
    let (code, _, message) = refusal(house.ask("DeleteFunction", latest).await);
    assert_eq!(code, "InvalidParameterValueException");
    assert_eq!(message, "$LATEST version cannot be deleted without deleting the function.");

    let deleted = house.ask("DeleteFunction", json!({ "FunctionName": "hello" })).await.unwrap();
    assert_eq!(deleted.get("StatusCode").unwrap().as_int(), Some(204));
    let gone = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:hello";
    for operation in
        ["GetFunction", "GetFunctionConfiguration", "DeleteFunction", "Invoke", "UpdateFunctionConfiguration"]
    {
        let (code, status, message) = refusal(house.ask(operation, json!({ "FunctionName": "hello" })).await);
        assert_eq!(
            (code.as_str(), status, message.as_str()),
            ("ResourceNotFoundException", 404, gone),
            "{operation}"
        );
    }
    house.create("hello", "three").await;
    assert_eq!(house.answer("hello").await["code"], "three");
}

#[tokio::test]
async fn names_in_every_form_reach_the_function() {
    let house = House::new();
    house.create("arn:aws:lambda:us-east-1:000000000000:function:hello", "one").await;
    for name in [
        "hello",
        "hello:$LATEST",
        "000000000000:function:hello",
        "arn:aws:lambda:us-east-1:000000000000:function:hello:$LATEST",
    ] {
        assert_eq!(house.answer(name).await["code"], "one", "{name}");
    }
    let ask = |name: &str, qualifier: &str| {
        let input = json!({ "FunctionName": name, "Qualifier": qualifier });
        let house = &house;
        async move { refusal(house.ask("Invoke", input).await) }
    };
    let (code, _, message) = ask("hello:$LATEST", "PROD").await;
    assert_eq!(code, "InvalidParameterValueException");
    assert_eq!(
        message,
        "The derived qualifier from the function name does not match the specified qualifier."
    );
    let (code, status, message) = ask("hello", "7").await;
    assert_eq!((code.as_str(), status), ("ResourceNotFoundException", 404));
    assert!(message.ends_with(":function:hello:7"));
}

#[tokio::test]
async fn invokes_have_types_logs_and_limits() {
    let house = House::new();
    house.create("hello", "one").await;
    let dry =
        house.ask("Invoke", json!({ "FunctionName": "hello", "InvocationType": "DryRun" })).await.unwrap();
    assert_eq!(dry.get("StatusCode").unwrap().as_int(), Some(204));
    assert_eq!(dry.get("Payload"), None);

    let mut whole = doc(&json!({
        "FunctionName": "hello", "InvocationType": "RequestResponse", "LogType": "Tail",
        "ClientContext": "eyJjdXN0b20iOnt9fQ==",
    }));
    put_blob(&mut whole, "Payload", Bytes::from_static(b"{\"n\":1}"));
    let answer = house.ask_as(AccountId::DEFAULT, "Invoke", whole).await.unwrap();
    assert_eq!(answer.get("StatusCode").unwrap().as_int(), Some(200));
    assert_eq!(text(&answer, "ExecutedVersion"), "$LATEST");
    assert_eq!(text(&answer, "LogResult"), "dGFpbA==");
    let payload: Value = serde_json::from_slice(answer.get("Payload").unwrap().as_blob().unwrap()).unwrap();
    assert_eq!((&payload["event"]["n"], &payload["context"]), (&json!(1), &json!("{\"custom\":{}}")));

    let with_payload = |payload: Vec<u8>| {
        let mut input = doc(&json!({ "FunctionName": "hello" }));
        put_blob(&mut input, "Payload", payload.into());
        house.ask_as(AccountId::DEFAULT, "Invoke", input)
    };
    let (code, status, _) = refusal(with_payload(b"{no json".to_vec()).await);
    assert_eq!((code.as_str(), status), ("InvalidRequestContentException", 400));
    let (code, status, message) = refusal(with_payload(vec![b' '; 6_291_457]).await);
    assert_eq!((code.as_str(), status), ("RequestEntityTooLargeException", 413));
    assert_eq!(message, "Request must be smaller than 6291456 bytes for the InvokeFunction operation");
}

#[tokio::test]
async fn functions_are_listed_by_account_in_pages() {
    let house = House::new();
    for name in ["c", "a", "b"] {
        house.create(name, "one").await;
    }
    let first = house.ask("ListFunctions", json!({ "MaxItems": 2 })).await.unwrap();
    let names = |page: &Doc| {
        let items = page.get("Functions").unwrap().items().unwrap();
        items.iter().map(|item| text(item, "FunctionName").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let marker = text(&first, "NextMarker");
    let second = house.ask("ListFunctions", json!({ "MaxItems": 2, "Marker": marker })).await.unwrap();
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second.get("NextMarker"), None);
    let all = house.ask("ListFunctions", json!({ "FunctionVersion": "ALL" })).await.unwrap();
    assert!(text(&all.get("Functions").unwrap().items().unwrap()[0], "FunctionArn").ends_with(":a:$LATEST"));
    let (code, ..) = refusal(house.ask("ListFunctions", json!({ "Marker": "!" })).await);
    assert_eq!(code, "InvalidParameterValueException");

    let other: AccountId = "111122223333".parse().unwrap();
    let none = house.ask_as(other, "ListFunctions", doc(&json!({}))).await.unwrap();
    assert!(names(&none).is_empty());
    let foreign = doc(&json!({ "FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:a" }));
    let (code, status, message) = refusal(house.ask_as(other, "GetFunction", foreign).await);
    assert_eq!((code.as_str(), status), ("AccessDeniedException", 403));
    assert!(message.starts_with(
        "User: arn:aws:iam::111122223333:root is not authorized to perform: lambda:GetFunction"
    ));
}

#[tokio::test]
async fn tags_are_set_shown_and_removed() {
    let house = House::new();
    let input = creation("hello", zip_of("one"), json!({ "Tags": { "team": "a" } }));
    let created = house.ask_as(AccountId::DEFAULT, "CreateFunction", input).await.unwrap();
    let arn = text(&created, "FunctionArn").to_owned();
    house
        .ask("TagResource", json!({ "Resource": arn, "Tags": { "stage": "dev", "team": "b" } }))
        .await
        .unwrap();
    let tags = house.ask("ListTags", json!({ "Resource": arn })).await.unwrap();
    assert_eq!((text(&tags, "Tags.team"), text(&tags, "Tags.stage")), ("b", "dev"));
    house.ask("UntagResource", json!({ "Resource": arn, "TagKeys": ["team"] })).await.unwrap();
    let whole = house.ask("GetFunction", json!({ "FunctionName": "hello" })).await.unwrap();
    assert_eq!(whole.get("Tags").unwrap().entries().unwrap().len(), 1);

    let (code, _, message) =
        refusal(house.ask("ListTags", json!({ "Resource": format!("{arn}:$LATEST") })).await);
    assert_eq!(code, "InvalidParameterValueException");
    assert!(message.starts_with("Tags on function aliases and versions are not supported."));
    let missing = arn.replace("hello", "nope");
    let (code, ..) = refusal(house.ask("ListTags", json!({ "Resource": missing })).await);
    assert_eq!(code, "ResourceNotFoundException");
}

#[tokio::test]
async fn account_settings_count_what_is_there() {
    let house = House::new();
    house.create("a", "one").await;
    house.create("b", "one").await;
    let settings = house.ask("GetAccountSettings", json!({})).await.unwrap();
    let number = |group: &str, name: &str| settings.get(group).unwrap().get(name).unwrap().as_int().unwrap();
    assert_eq!(number("AccountLimit", "ConcurrentExecutions"), 1000);
    assert_eq!(number("AccountLimit", "TotalCodeSize"), 80_530_636_800);
    assert_eq!(number("AccountUsage", "FunctionCount"), 2);
    assert_eq!(number("AccountUsage", "TotalCodeSize"), 2 * zip_of("one").len() as i64);
}

#[tokio::test]
async fn a_function_survives_the_service() {
    let store = Store::in_memory().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let house = House::over(store.clone(), dir);
    house.create("hello", "one").await;
    assert_eq!(house.lambda.live_blobs().unwrap().len(), 1);
    let House { _dir: dir, .. } = house;
    remove_unpacked(&path);
    let house = House::over(store, dir);
    assert_eq!(house.answer("hello").await["code"], "one");
    assert_eq!(house.lambda.sweep_packages(std::time::Instant::now()).unwrap(), 0);
}

fn remove_unpacked(data_dir: &Path) {
    for entry in std::fs::read_dir(data_dir.join("packages")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

#[path = "api_policy_tests.rs"]
mod policies;
