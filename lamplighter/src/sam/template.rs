//! A SAM template: its parameters, globals, functions and outputs, checked and typed.
//!
//! Supported: `Transform: AWS::Serverless-2016-10-31`, `Parameters`, `Globals.Function`, resources of the type
//! `AWS::Serverless::Function` and `AWS::Serverless::LayerVersion`, `Outputs`, `Description`, `Metadata`. All else is refused with its name and line.
//! <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy.html>

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::{AccountId, Region};

use super::SamError;
use super::function::{self, FunctionSpec};
use super::intrinsics::Scope;
use super::layer::{self, LayerSpec};
use super::node::Node;

/// The only transform there is.
const TRANSFORM: &str = "AWS::Serverless-2016-10-31";

/// What a folder's template asks for.
#[derive(Debug)]
pub(crate) struct Template {
    /// The template's file.
    pub(crate) path: PathBuf,
    pub(crate) functions: Vec<FunctionSpec>,
    pub(crate) layers: Vec<LayerSpec>,
    /// Name and value, in the template's order.
    pub(crate) outputs: Vec<(String, String)>,
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
        let Parsed { functions, layers, outputs } = parse(&text, folder, setting)?;
        Ok(Template { path, functions, layers, outputs })
    }
}

#[derive(Debug)]
struct Parsed {
    functions: Vec<FunctionSpec>,
    layers: Vec<LayerSpec>,
    outputs: Vec<(String, String)>,
}

fn parse(text: &str, folder: &Path, setting: &Setting) -> Result<Parsed, SamError> {
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
    let section = |name: &str| sections.iter().find(|(key, _)| key == name).map(|(_, node)| node);
    if section("Transform").is_none() {
        return Err(SamError::at(
            root.line,
            format!("not a SAM template: 'Transform: {TRANSFORM}' is missing"),
        ));
    }
    let resources = section("Resources")
        .ok_or_else(|| SamError::at(root.line, "the template has no 'Resources'"))?
        .entries("Resources")?;
    for (logical_id, resource) in resources {
        check_type(logical_id, resource)?;
    }
    let scope = scope(section("Parameters"), resources, folder, setting)?;
    let globals = globals(section("Globals"), &scope)?;
    let layers = resources
        .iter()
        .filter(|(_, resource)| layer::is_layer(resource))
        .map(|(logical_id, resource)| layer::read(logical_id, resource, &scope, folder))
        .collect::<Result<Vec<_>, _>>()?;
    let functions = resources
        .iter()
        .filter(|(_, resource)| !layer::is_layer(resource))
        .map(|(logical_id, resource)| function::read(logical_id, resource, &globals, &scope, folder))
        .collect::<Result<Vec<_>, _>>()?;
    let with_url = functions.iter().filter(|spec| spec.url.is_some()).map(|spec| spec.logical_id.clone());
    let scope = Scope { with_url: with_url.collect(), ..scope };
    let outputs = outputs(section("Outputs"), &scope)?;
    Ok(Parsed { functions, layers, outputs })
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

fn check_type(logical_id: &str, resource: &Node) -> Result<(), SamError> {
    let entries = resource.entries(logical_id)?;
    let Some((_, kind)) = entries.iter().find(|(key, _)| key == "Type") else {
        return Err(SamError::at(resource.line, format!("the resource '{logical_id}' has no 'Type'")));
    };
    match kind.text("Type")? {
        "AWS::Serverless::Function" | layer::TYPE => Ok(()),
        other => Err(SamError::at(
            kind.line,
            format!(
                "the resource type '{other}' ({logical_id}) is not supported yet; supported: \
                 AWS::Serverless::Function, {}",
                layer::TYPE
            ),
        )),
    }
}

fn scope(
    parameters: Option<&Node>,
    resources: &[(String, Node)],
    folder: &Path,
    setting: &Setting,
) -> Result<Scope, SamError> {
    let mut scope = Scope {
        account: setting.account,
        region: setting.region.clone(),
        stack: stack_name(folder),
        parameters: parameter_values(parameters, &setting.parameters)?,
        functions: BTreeMap::new(),
        layers: BTreeSet::new(),
        with_url: BTreeSet::new(),
    };
    let mut names = BTreeMap::new();
    for (logical_id, resource) in resources {
        if layer::is_layer(resource) {
            scope.layers.insert(logical_id.clone());
            continue;
        }
        names.insert(logical_id.clone(), function::physical_name(logical_id, resource, &scope)?);
    }
    scope.functions = names;
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

fn globals(node: Option<&Node>, scope: &Scope) -> Result<Vec<(String, Node)>, SamError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let mut function = Vec::new();
    for (kind, properties) in node.entries("Globals")? {
        if kind != "Function" {
            return Err(SamError::at(properties.line, format!("'Globals.{kind}' is not supported yet")));
        }
        function = scope.resolve(properties)?.entries("Globals.Function")?.to_vec();
    }
    Ok(function)
}

fn outputs(node: Option<&Node>, scope: &Scope) -> Result<Vec<(String, String)>, SamError> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let mut outputs = Vec::new();
    for (name, output) in node.entries("Outputs")? {
        for (key, node) in output.entries(name)? {
            match key.as_str() {
                "Value" => outputs.push((name.clone(), scope.resolve(node)?.text("Value")?.to_owned())),
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
    use crate::sam::function::{BuildMethod, Code, Role};

    fn read(text: &str) -> Result<Parsed, SamError> {
        let parameters = BTreeMap::from([("Stage".to_owned(), "prod".to_owned())]);
        let parameters = if text.contains("Stage:") { parameters } else { BTreeMap::new() };
        parse(
            text,
            Path::new("/apps/my app"),
            &Setting { account: AccountId::DEFAULT, region: Region::default(), parameters },
        )
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
        let Parsed { functions, outputs, .. } = read(text).unwrap();
        let hello = &functions[0];
        assert_eq!(hello.name, "my-app-Hello");
        assert_eq!((hello.timeout_s, hello.memory_mib), (Some(9), Some(256)));
        assert_eq!(hello.environment["STAGE"], "prod");
        assert_eq!(hello.environment["A"], "own");
        assert_eq!(hello.environment["PEER"], "other-prod");
        assert_eq!(hello.code, Code::Path(PathBuf::from("/apps/my app/./src")));
        assert!(matches!(&hello.role, Role::Own { managed, .. } if managed.len() == 1));
        assert_eq!(functions[1].build, Some(BuildMethod::Makefile));
        assert_eq!(functions[1].role, Role::Arn("arn:aws:iam::000000000000:role/mine".to_owned()));
        assert_eq!(outputs[0].1, "arn:aws:lambda:us-east-1:000000000000:function:other-prod");
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
