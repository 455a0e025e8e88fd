//! The embedded tables as a whole.

use super::*;

#[test]
fn every_table_can_be_read_and_points_into_itself() {
    for (slot, entry) in Catalog::embedded().entries().iter().enumerate() {
        let model = Catalog::embedded().at(slot).unwrap();
        assert_eq!(model.id, entry.id);
        assert!(std::ptr::eq(Catalog::embedded().service(entry.id).unwrap(), model));
        let count = model.shapes.len();
        let inside = |id: ShapeId| (id.0 as usize) < count;
        for operation in &model.operations {
            assert!(operation.input.is_none_or(inside) && operation.output.is_none_or(inside));
            assert!(operation.errors.iter().copied().all(inside));
            assert_eq!(operation.service().id, entry.id);
        }
        for shape in &model.shapes {
            assert!(shape.members.iter().all(|member| inside(member.shape)));
            for member in &shape.members {
                if shape.has_named_members() {
                    assert!(shape.member_on_wire(member.wire_name).is_some());
                }
            }
        }
    }
}

#[test]
fn every_pattern_is_understood() {
    for (slot, entry) in Catalog::embedded().entries().iter().enumerate() {
        for shape in &Catalog::embedded().at(slot).unwrap().shapes {
            if let Some(pattern) = &shape.pattern {
                assert!(pattern.is_understood(), "{} {}: {}", entry.id, shape.name, pattern.text());
            }
        }
    }
}

#[test]
fn lambda_is_as_documented() {
    let lambda = Catalog::embedded().service("lambda").unwrap();
    let invoke = lambda.operation("Invoke").unwrap();
    assert_eq!((invoke.method, invoke.status), ("POST", 200));
    assert_eq!(invoke.input_shape().unwrap().payload_member().unwrap().name, "Payload");
    assert_eq!(lambda.error("ResourceNotFoundException").unwrap().error.unwrap().status, Some(404));
    let found = lambda.paths.find("POST", "/2015-03-31/functions/a/invocations", "", &|_| false).unwrap();
    assert_eq!(lambda.operations[found.operation].name, "Invoke");
}
