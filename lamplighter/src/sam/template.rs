//! A SAM template: its sections read and checked, its resources in order, its values resolved when they are known.
//!
//! Supported: `Transform: AWS::Serverless-2016-10-31`, `Parameters`, `Globals.Function`, `Resources` of the types that
//! `resource.rs` lists, `Outputs`, `Description`, `Metadata`. All else is refused with its name and line.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::{AccountId, Region};

use super::bring_up::{PlainSpec, Spec};
use super::expand::expand;
use super::graph;
use super::intrinsics::Scope;
use super::node::Node;
use super::resource::{self, Kind, Known, Resource, Target};
use super::{
    SamError, access_policy, event_invoke, function, layer, mapping, permission, queue, role, subscription,
    topic, url,
};

/// The only transform there is.
const TRANSFORM: &str = "AWS::Serverless-2016-10-31";

/// What a folder's template asks for.
#[derive(Debug)]
pub(crate) struct Template {
    /// The template's file.
    pub(crate) path: PathBuf,
    /// Each after all that it needs.
    pub(crate) resources: Vec<Resource>,
    folder: PathBuf,
    scope: Scope,
    /// Name and value, in the template's order.
    outputs: Vec<(String, Node)>,
}

/// What the template cannot know by itself.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    /// `--parameter KEY=VALUE`.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Template {
    /// Reads `template.yaml`, `template.yml` or `template.json` of a folder.
    pub(crate) fn read(folder: &Path, setting: &Setting) -> Result<Template, SamError> {
        let candidates = ["template.yaml", "template.yml", "template.json"].map(|name| folder.join(name));
        let path = candidates.iter().find(|path| path.is_file()).unwrap_or(&candidates[0]).clone();
        let text = std::fs::read_to_string(&path).map_err(|cause| SamError::file(&path, cause))?;
        parse(&text, path, folder, setting)
    }

    /// A resource with its values. Before what it needs is brought up, plausible values stand for what is not known.
    ///
    /// # Errors
    /// What is wrong with its properties.
    pub(crate) fn spec(&self, resource: &Resource) -> Result<Spec, SamError> {
        let Resource { logical_id: id, kind, metadata, .. } = resource;
        let properties = &self.scope.resolve(&resource.properties)?;
        let name = &self.scope.targets[id].name;
        let plain = match kind {
            Kind::Function => {
                let spec = function::read(id, name, metadata.as_ref(), properties, &self.folder)?;
                return Ok(Spec::Function(Box::new(spec)));
            }
            Kind::Layer => {
                let spec = layer::read(id, metadata.as_ref(), properties, &self.folder)?;
                return Ok(Spec::Layer(Box::new(spec)));
            }
            Kind::Role => PlainSpec::Role(role::read(name, properties)?),
            Kind::Url => PlainSpec::Url(url::read(properties)?),
            Kind::Queue => PlainSpec::Queue(queue::read(id, name, properties)?),
            Kind::QueuePolicy => PlainSpec::QueuePolicy(access_policy::read(id, "Queues", properties)?),
            Kind::Topic => PlainSpec::Topic(topic::read(id, name, properties)?),
            Kind::TopicPolicy => PlainSpec::TopicPolicy(access_policy::read(id, "Topics", properties)?),
            Kind::Subscription => PlainSpec::Subscription(subscription::read(id, properties)?),
            Kind::Mapping => PlainSpec::Mapping(Box::new(mapping::read(id, properties)?)),
            Kind::Permission => PlainSpec::Permission(Box::new(permission::read(id, name, properties)?)),
            Kind::EventInvoke => PlainSpec::EventInvoke(event_invoke::read(id, properties)?),
        };
        Ok(Spec::Plain(plain))
    }

    /// What is known from resources that were brought up.
    pub(crate) fn learn(&mut self, known: &Known) {
        self.scope.known.clone_from(known);
    }

    /// The outputs, with what is known by now.
    ///
    /// # Errors
    /// An output that is no text.
    pub(crate) fn outputs(&self) -> Result<Vec<(String, String)>, SamError> {
        let resolved = self
            .outputs
            .iter()
            .map(|(name, node)| Ok((name.clone(), self.scope.resolve(node)?.text("Value")?.to_owned())));
        resolved.collect()
    }
}

fn parse(text: &str, path: PathBuf, folder: &Path, setting: &Setting) -> Result<Template, SamError> {
    let root = Node::parse(text)?;
    let sections = root.entries("the template")?;
    for (name, node) in sections {
        match name.as_str() {
            "Transform" => check_transform(node)?,
            "AWSTemplateFormatVersion"
            | "Description"
            | "Metadata"
            | "Parameters"
            | "Globals"
            | "Resources"
            | "Outputs" => {}
            other => {
                return Err(SamError::at(node.line, format!("the section '{other}' is not supported yet")));
            }
        }
    }
    if root.get("Transform").is_none() {
        return Err(SamError::at(
            root.line,
            format!("not a SAM template: 'Transform: {TRANSFORM}' is missing"),
        ));
    }
    let resources = root
        .get("Resources")
        .ok_or_else(|| SamError::at(root.line, "the template has no 'Resources'"))?
        .entries("Resources")?;
    let resources = graph::in_order(expand(resources, globals(root.get("Globals"))?)?)?;
    let template = Template {
        path,
        scope: scope(root.get("Parameters"), &resources, folder, setting)?,
        resources,
        folder: folder.to_owned(),
        outputs: outputs(root.get("Outputs"))?,
    };
    for resource in &template.resources {
        template.spec(resource)?;
    }
    template.outputs()?;
    Ok(template)
}

fn check_transform(node: &Node) -> Result<(), SamError> {
    let names = match node.text("Transform") {
        Ok(name) => vec![name],
        Err(_) => {
            node.items("Transform")?.iter().map(|item| item.text("Transform")).collect::<Result<_, _>>()?
        }
    };
    match names.iter().find(|name| **name != TRANSFORM) {
        Some(other) => Err(SamError::at(node.line, format!("the transform '{other}' is not supported yet"))),
        None => Ok(()),
    }
}

fn scope(
    parameters: Option<&Node>,
    resources: &[Resource],
    folder: &Path,
    setting: &Setting,
) -> Result<Scope, SamError> {
    let mut scope = Scope {
        account: setting.account,
        region: setting.region.clone(),
        stack: stack_name(folder),
        parameters: parameter_values(parameters, &setting.parameters)?,
        targets: BTreeMap::new(),
        known: Known::new(),
    };
    // In order: a name may be made from another resource's.
    for resource in resources {
        let name = resource::physical_name(resource, &scope)?;
        scope.targets.insert(resource.logical_id.clone(), Target { kind: resource.kind, name });
    }
    Ok(scope)
}

/// A stack's name from its folder's: letters, digits and '-', as CloudFormation wants it.
fn stack_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

fn parameter_values(
    declared: Option<&Node>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SamError> {
    let mut values = BTreeMap::new();
    let entries = match declared {
        Some(node) => node.entries("Parameters")?,
        None => &[],
    };
    for (name, node) in entries {
        values.insert(name.clone(), parameter(name, node, given.get(name))?);
    }
    match given.keys().find(|name| !values.contains_key(*name)) {
        Some(unknown) => Err(SamError::at(
            declared.map_or(1, |node| node.line),
            format!("the template has no parameter '{unknown}' (given with --parameter)"),
        )),
        None => Ok(values),
    }
}

fn parameter(name: &str, node: &Node, given: Option<&String>) -> Result<String, SamError> {
    let (mut default, mut allowed) = (None, None);
    for (key, node) in node.entries(name)? {
        match key.as_str() {
            "Type" => match node.text("Type")? {
                "String" | "Number" | "CommaDelimitedList" | "List<Number>" => {}
                other => {
                    return Err(SamError::at(
                        node.line,
                        format!("the parameter type '{other}' is not supported yet"),
                    ));
                }
            },
            "Default" => default = Some(node.text("Default")?.to_owned()),
            "AllowedValues" => allowed = Some(node),
            "Description" | "NoEcho" | "ConstraintDescription" => {}
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("'{other}' of the parameter '{name}' is not supported yet"),
                ));
            }
        }
    }
    let value = given.cloned().or(default).ok_or_else(|| {
        SamError::at(
            node.line,
            format!("the parameter '{name}' has no default: give --parameter {name}=VALUE"),
        )
    })?;
    if let Some(allowed) = allowed {
        let items = allowed.items("AllowedValues")?;
        let texts = items.iter().map(|item| item.text("AllowedValues")).collect::<Result<Vec<_>, _>>()?;
        if !texts.contains(&value.as_str()) {
            return Err(SamError::at(
                allowed.line,
                format!("the parameter '{name}' is '{value}', not one of [{}]", texts.join(", ")),
            ));
        }
    }
    Ok(value)
}

fn globals(node: Option<&Node>) -> Result<&[(String, Node)], SamError> {
    let Some(node) = node else { return Ok(&[]) };
    let mut function: &[(String, Node)] = &[];
    for (kind, properties) in node.entries("Globals")? {
        if kind != "Function" {
            return Err(SamError::at(properties.line, format!("'Globals.{kind}' is not supported yet")));
        }
        function = properties.entries("Globals.Function")?;
    }
    Ok(function)
}

fn outputs(node: Option<&Node>) -> Result<Vec<(String, Node)>, SamError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let mut outputs = Vec::new();
    for (name, output) in node.entries("Outputs")? {
        for (key, node) in output.entries(name)? {
            match key.as_str() {
                "Value" => outputs.push((name.clone(), node.clone())),
                "Description" => {}
                other => {
                    return Err(SamError::at(
                        node.line,
                        format!("'{other}' of the output '{name}' is not supported yet"),
                    ));
                }
            }
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sam::FunctionSpec;
    use crate::sam::function::{BuildMethod, Code};

    fn read(text: &str) -> Result<Template, SamError> {
        let parameters = BTreeMap::from([("Stage".to_owned(), "prod".to_owned())]);
        let parameters = if text.contains("Stage:") { parameters } else { BTreeMap::new() };
        parse(
            text,
            PathBuf::new(),
            Path::new("/apps/my app"),
            &Setting { account: AccountId::DEFAULT, region: Region::default(), parameters },
        )
    }

    fn ids(template: &Template) -> Vec<&str> {
        template.resources.iter().map(|resource| resource.logical_id.as_str()).collect()
    }

    fn spec(template: &Template, logical_id: &str) -> Spec {
        let resource = template.resources.iter().find(|resource| resource.logical_id == logical_id);
        template.spec(resource.unwrap()).unwrap()
    }

    fn function(template: &Template, logical_id: &str) -> FunctionSpec {
        match spec(template, logical_id) {
            Spec::Function(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    const HEAD: &str = "Transform: AWS::Serverless-2016-10-31\n";

    #[test]
    fn a_whole_template() {
        let text = "AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
Globals:
  Function:
    Timeout: 5
    MemorySize: 256
    Environment: {Variables: {STAGE: !Ref Stage, A: global}}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: ./src
      Timeout: 9
      Environment: {Variables: {A: own, PEER: !Ref Other}}
  Other:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      FunctionName: !Sub 'other-${Stage}'
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: native
      Role: arn:aws:iam::000000000000:role/mine
Outputs:
  Arn: {Value: !GetAtt Other.Arn}
";
        let template = read(text).unwrap();
        assert_eq!(ids(&template), ["HelloRole", "Other", "Hello"], "each after what it needs");
        let hello = function(&template, "Hello");
        assert_eq!(hello.name, "my-app-Hello");
        assert_eq!((hello.timeout_s, hello.memory_mib), (Some(9), Some(256)));
        assert_eq!(hello.environment["STAGE"], "prod");
        assert_eq!(hello.environment["A"], "own");
        assert_eq!(hello.environment["PEER"], "other-prod");
        assert_eq!(hello.code, Code::Path(PathBuf::from("/apps/my app/./src")));
        assert_eq!(hello.role, "arn:aws:iam::000000000000:role/my-app-HelloRole");
        let other = function(&template, "Other");
        assert_eq!(other.build, Some(BuildMethod::Makefile));
        assert_eq!(other.role, "arn:aws:iam::000000000000:role/mine");
        assert_eq!(
            template.outputs().unwrap()[0].1,
            "arn:aws:lambda:us-east-1:000000000000:function:other-prod"
        );
    }

    /// The resource's resolved properties.
    fn properties(template: &Template, logical_id: &str) -> serde_json::Value {
        let found = template.resources.iter().find(|resource| resource.logical_id == logical_id);
        let found = found.unwrap_or_else(|| panic!("no {logical_id} in {:?}", ids(template)));
        template.scope.resolve(&found.properties).unwrap().to_json()
    }

    const FED: &str = "Transform: AWS::Serverless-2016-10-31
Resources:
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: .
      AutoPublishAlias: live
      Policies:
        - SQSSendMessagePolicy: {QueueName: !GetAtt Out.QueueName}
        - Statement: [{Effect: Allow, Action: 's3:*', Resource: '*'}]
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Out.Arn}
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig:
          OnFailure: {Type: SQS}
          OnSuccess: {Type: SNS, Destination: !Ref News}
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt In.Arn, BatchSize: 5, FunctionResponseTypes: [ReportBatchItemFailures]}
        Direct: {Type: SNS, Properties: {Topic: !Ref News, FilterPolicy: {kind: [a]}}}
        Buffered: {Type: SNS, Properties: {Topic: !Ref News, SqsSubscription: true}}
  In: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}
  Out: {Type: AWS::SQS::Queue, Properties: {QueueName: out}}
  News: {Type: AWS::SNS::Topic}
";

    #[test]
    fn a_function_is_expanded_as_sam_does() {
        let template = read(FED).unwrap();
        let live = "arn:aws:lambda:us-east-1:000000000000:function:my-app-Worker:live";
        let mapping = properties(&template, "WorkerJobs");
        assert_eq!((&mapping["FunctionName"], &mapping["BatchSize"]), (&live.into(), &5.into()));
        let source = mapping["EventSourceArn"].as_str().unwrap();
        assert!(
            source.starts_with("arn:aws:sqs:us-east-1:000000000000:my-app-In-") && source.ends_with(".fifo")
        );
        let direct = properties(&template, "WorkerDirect");
        assert_eq!((&direct["Protocol"], &direct["Endpoint"]), (&"lambda".into(), &live.into()));
        assert_eq!(direct["FilterPolicy"], serde_json::json!({"kind": ["a"]}));
        assert_eq!(properties(&template, "WorkerDirectPermission")["Principal"], "sns.amazonaws.com");
        let buffered = properties(&template, "WorkerBuffered");
        let queue = buffered["Endpoint"].as_str().unwrap();
        assert!(queue.contains(":my-app-WorkerBufferedQueue-"), "{queue}");
        let policy = properties(&template, "WorkerBufferedQueuePolicy");
        assert_eq!(policy["PolicyDocument"]["Statement"][0]["Resource"], queue);
        assert_eq!(properties(&template, "WorkerBufferedEventSourceMapping")["EventSourceArn"], queue);
        let config = properties(&template, "WorkerEventInvokeConfig");
        assert_eq!(config["Qualifier"], "live");
        let failures = &config["DestinationConfig"]["OnFailure"]["Destination"];
        assert!(failures.as_str().unwrap().contains(":my-app-WorkerEventInvokeConfigOnFailureQueue-"));
        let out = "arn:aws:sqs:us-east-1:000000000000:out";
        assert_eq!(function(&template, "Worker").dead_letter_arn.as_deref(), Some(out));
    }

    #[test]
    fn the_role_may_do_what_the_function_was_given() {
        let role = properties(&read(FED).unwrap(), "WorkerRole");
        let managed = role["ManagedPolicyArns"].to_string();
        assert!(
            managed.contains("AWSLambdaBasicExecutionRole")
                && managed.contains("AWSLambdaSQSQueueExecutionRole")
        );
        let allowed: Vec<_> = role["Policies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|policy| {
                let statement = &policy["Statement"][0];
                (statement["Action"].to_string(), statement["Resource"].as_str().unwrap().to_owned())
            })
            .collect();
        let out = "arn:aws:sqs:us-east-1:000000000000:out".to_owned();
        assert!(allowed.contains(&(r#"["sqs:SendMessage*"]"#.to_owned(), out.clone())), "{allowed:?}");
        assert!(allowed.contains(&(r#"["sqs:SendMessage"]"#.to_owned(), out)), "{allowed:?}");
        assert!(allowed.iter().any(|(action, _)| action == r#"["sns:Publish"]"#), "{allowed:?}");
        assert!(allowed.contains(&(r#""s3:*""#.to_owned(), "*".to_owned())), "{allowed:?}");
    }

    #[test]
    fn what_is_not_supported_is_named_with_its_line() {
        for (body, name, line) in [
            ("Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n", "'AWS::DynamoDB::Table'", 4),
            ("Conditions: {}\nResources: {}\n", "'Conditions'", 2),
            ("Globals: {Api: {}}\nResources: {}\n", "'Globals.Api'", 2),
            (
                "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: nodejs22.x\n      Handler: a.b\n      CodeUri: .\n      Events: {X: {Type: Api}}\n",
                "'Events'",
                9,
            ),
            (
                "Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      DelaySecond: 3\n",
                "'DelaySecond'",
                6,
            ),
            (
                "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Connectors: {}\n",
                "'Connectors'",
                5,
            ),
            (
                "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Policies:\n        - DynamoDBReadPolicy: {TableName: x}\n",
                "'DynamoDBReadPolicy'",
                7,
            ),
            (
                "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    DeletionPolicy: Retain\n    Properties: {}\n",
                "'DeletionPolicy'",
                5,
            ),
        ] {
            let message = read(&format!("{HEAD}{body}")).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
            assert!(message.contains(&format!("line {line}:")), "{message}");
        }
    }

    #[test]
    fn a_parameter_is_checked() {
        let body = "Parameters:\n  Stage: {Type: String, AllowedValues: [dev]}\nResources: {}\n";
        assert!(read(&format!("{HEAD}{body}")).unwrap_err().to_string().contains("not one of [dev]"));
        let body = "Parameters:\n  Other: {Type: String}\nResources: {}\n";
        assert!(read(&format!("{HEAD}{body}")).unwrap_err().to_string().contains("--parameter Other=VALUE"));
    }
}
