//! What Microsoft's published schema allows in an envelope and in each type of telemetry.
//!
//! Not judged: the form of a duration, the words of an enumeration, ranges such as that of `sampleRate`, and
//! fields that the schema does not name. What the service says of those was quoted nowhere.

use super::breeze::{check_length, missing, object, optional_object, wrong_type};
use serde_json::{Map, Value};

/// UTF-16 units of a property's or measurement's name, and of a property's value.
const FIELD_NAME_UNITS_MAX: usize = 150;
const FIELD_VALUE_UNITS_MAX: usize = 8192;

/// A text whose length only the item limits.
const ANY: usize = usize::MAX;

#[derive(Clone, Copy)]
enum Need {
    Required,
    Optional,
}
use Need::{Optional, Required};

#[derive(Clone, Copy)]
enum Kind {
    /// A text, with the most UTF-16 units it may have.
    Text(usize),
    Int,
    Double,
    Bool,
    /// A list of objects of this type.
    List(&'static Type),
}
use Kind::{Bool, Double, Int, List, Text};

/// A type of the schema: its name and its fields.
pub(super) struct Type {
    name: &'static str,
    fields: &'static [(&'static str, Need, Kind)],
}

pub(super) const ENVELOPE: Type = Type {
    name: "Envelope",
    fields: &[
        ("name", Required, Text(1024)),
        ("ver", Optional, Int),
        ("sampleRate", Optional, Double),
        ("seq", Optional, Text(64)),
        ("flags", Optional, Int),
    ],
};

/// `ver` has a default in the schema, so that it may be left out; so may what only "acts as required" there:
/// official SDKs send page views without an id.
const TYPES: [Type; 9] = [
    Type {
        name: "EventData",
        fields: &[("ver", Optional, Int), ("name", Required, Text(512))],
    },
    Type {
        name: "MessageData",
        fields: &[("ver", Optional, Int), ("message", Required, Text(32_768))],
    },
    Type {
        name: "ExceptionData",
        fields: &[
            ("ver", Optional, Int),
            ("exceptions", Required, List(&EXCEPTION_DETAILS)),
            ("problemId", Optional, Text(1024)),
        ],
    },
    Type {
        name: "RequestData",
        fields: &[
            ("ver", Optional, Int),
            ("id", Required, Text(512)),
            ("duration", Required, Text(ANY)),
            ("responseCode", Required, Text(1024)),
            ("success", Optional, Bool),
            ("source", Optional, Text(1024)),
            ("name", Optional, Text(1024)),
            ("url", Optional, Text(2048)),
        ],
    },
    Type {
        name: "RemoteDependencyData",
        fields: &[
            ("ver", Optional, Int),
            ("name", Required, Text(1024)),
            ("id", Optional, Text(512)),
            ("resultCode", Optional, Text(1024)),
            ("duration", Optional, Text(ANY)),
            ("success", Optional, Bool),
            ("data", Optional, Text(8192)),
            ("type", Optional, Text(1024)),
            ("target", Optional, Text(1024)),
        ],
    },
    Type {
        name: "MetricData",
        fields: &[
            ("ver", Optional, Int),
            ("metrics", Required, List(&DATA_POINT)),
        ],
    },
    Type {
        name: "PageViewData",
        fields: &[
            ("ver", Optional, Int),
            ("name", Required, Text(512)),
            ("url", Optional, Text(2048)),
            ("duration", Optional, Text(ANY)),
            ("referrerUri", Optional, Text(2048)),
            ("id", Optional, Text(512)),
        ],
    },
    Type {
        name: "PageViewPerfData",
        fields: &[
            ("ver", Optional, Int),
            ("name", Required, Text(512)),
            ("url", Optional, Text(2048)),
            ("duration", Optional, Text(ANY)),
            ("id", Optional, Text(512)),
        ],
    },
    Type {
        name: "AvailabilityData",
        fields: &[
            ("ver", Optional, Int),
            ("id", Optional, Text(512)),
            ("name", Optional, Text(1024)),
            ("duration", Required, Text(ANY)),
            ("success", Optional, Bool),
            ("runLocation", Optional, Text(1024)),
            ("message", Optional, Text(8192)),
        ],
    },
];

const EXCEPTION_DETAILS: Type = Type {
    name: "ExceptionDetails",
    fields: &[
        ("typeName", Required, Text(1024)),
        ("message", Required, Text(32_768)),
        ("hasFullStack", Optional, Bool),
        ("stack", Optional, Text(32_768)),
        ("parsedStack", Optional, List(&STACK_FRAME)),
    ],
};

const STACK_FRAME: Type = Type {
    name: "StackFrame",
    fields: &[
        ("level", Required, Int),
        ("method", Required, Text(1024)),
        ("assembly", Optional, Text(1024)),
        ("fileName", Optional, Text(1024)),
        ("line", Optional, Int),
    ],
};

const DATA_POINT: Type = Type {
    name: "DataPoint",
    fields: &[
        ("ns", Optional, Text(256)),
        ("name", Required, Text(1024)),
        ("value", Required, Double),
        ("count", Optional, Int),
        ("min", Optional, Double),
        ("max", Optional, Double),
        ("stdDev", Optional, Double),
    ],
};

/// Checks the payload of an item. A type that the schema does not have passes.
pub(super) fn check_data(base_type: &str, data: &Map<String, Value>) -> Result<(), String> {
    let name = match base_type {
        "PageviewData" | "PageEventData" => "PageViewData",
        "PageviewPerformanceData" | "PageViewPerformanceData" => "PageViewPerfData",
        name => name,
    };
    let Some(data_type) = TYPES.iter().find(|known| known.name == name) else {
        return Ok(());
    };
    check(data_type, data)?;
    check_properties(data, data_type.name)?;
    check_measurements(data, data_type.name)
}

/// Checks the fields of an object that its type names.
pub(super) fn check(of: &Type, object: &Map<String, Value>) -> Result<(), String> {
    for (field, need, kind) in of.fields {
        // SDKs write null for a field that they leave out.
        let value = object.get(*field).unwrap_or(&Value::Null);
        let is_empty = value.is_null() || value == "";
        match need {
            Required if is_empty => return Err(missing(field, of.name, kind.name())),
            _ if value.is_null() => {}
            _ => check_value(value, field, of.name, *kind)?,
        }
    }
    Ok(())
}

fn check_value(value: &Value, field: &str, on: &str, kind: Kind) -> Result<(), String> {
    match (kind, value) {
        (Text(units_max), Value::String(text)) => check_length(text, units_max, field, on),
        (Int, Value::Number(number)) if !number.is_f64() => Ok(()),
        (Double, Value::Number(_)) | (Bool, Value::Bool(_)) => Ok(()),
        (List(of), Value::Array(elements)) => elements
            .iter()
            .try_for_each(|element| check(of, object(element, field, on)?)),
        _ => Err(wrong_type(field, on, kind.name(), value)),
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Text(_) => "string",
            Int => "integer",
            Double => "double",
            Bool => "boolean",
            List(_) => "array",
        }
    }
}

/// The schema wants strings. The official Python SDKs send numbers, booleans, null, arrays and
/// objects as they are; what the service makes of those is not documented, so they are tolerated.
fn check_properties(data: &Map<String, Value>, on: &str) -> Result<(), String> {
    let Some(properties) = optional_object(data, "properties", on)? else {
        return Ok(());
    };
    for (key, value) in properties {
        check_length(key, FIELD_NAME_UNITS_MAX, "properties", on)?;
        if let Value::String(value) = value {
            check_length(value, FIELD_VALUE_UNITS_MAX, "properties", on)?;
        }
    }
    Ok(())
}

/// The schema wants finite numbers, and JSON has no others. The Node SDK sends null for `NaN`, and
/// the Azure CLI sends booleans, so these two are tolerated.
fn check_measurements(data: &Map<String, Value>, on: &str) -> Result<(), String> {
    let Some(measurements) = optional_object(data, "measurements", on)? else {
        return Ok(());
    };
    for (key, value) in measurements {
        check_length(key, FIELD_NAME_UNITS_MAX, "measurements", on)?;
        if !matches!(value, Value::Number(_) | Value::Null | Value::Bool(_)) {
            return Err(wrong_type("measurements", on, "double", value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A good object of a type, with nothing but what it needs.
    fn smallest(of: &Type) -> Map<String, Value> {
        let value = |kind: Kind| match kind {
            Text(_) => json!("x"),
            Int => json!(1),
            Double => json!(1.5),
            Bool => json!(true),
            List(of) => json!([smallest(of)]),
        };
        let needed = of.fields.iter();
        needed
            .filter(|(_, need, _)| matches!(need, Required))
            .map(|(field, _, kind)| ((*field).to_owned(), value(*kind)))
            .collect()
    }

    fn all_types() -> impl Iterator<Item = &'static Type> {
        static OTHERS: [&Type; 4] = [&ENVELOPE, &EXCEPTION_DETAILS, &STACK_FRAME, &DATA_POINT];
        static KNOWN: [Type; 9] = TYPES;
        KNOWN.iter().chain(OTHERS)
    }

    /// An object with one field changed, and the message; "" means accepted.
    #[track_caller]
    fn check_with(of: &Type, field: &str, value: Value, message: &str) {
        let mut object = smallest(of);
        object.insert(field.to_owned(), value);
        let judged = check(of, &object).err().unwrap_or_default();
        assert_eq!(judged, message, "{} {field}", of.name);
    }

    #[test]
    fn every_text_of_every_type_has_its_limit() {
        let mut limits = 0;
        for of in all_types() {
            for (field, _, kind) in of.fields {
                let Text(units_max) = *kind else { continue };
                if units_max == ANY {
                    continue;
                }
                limits += 1;
                check_with(of, field, "é".repeat(units_max).into(), "");
                let message = format!(
                    "100: Field '{field}' on type '{}' is too long. Expected: {units_max} characters, Actual: {}",
                    of.name,
                    units_max + 1
                );
                check_with(of, field, "é".repeat(units_max + 1).into(), &message);
            }
        }
        assert_eq!(limits, 35);
    }

    #[test]
    fn required_fields_are_required_and_others_may_be_null() {
        for of in all_types() {
            assert_eq!(check(of, &smallest(of)), Ok(()), "{}", of.name);
            for (field, need, kind) in of.fields {
                let message = match need {
                    Required => missing(field, of.name, kind.name()),
                    Optional => String::new(),
                };
                check_with(of, field, Value::Null, &message);
            }
        }
    }

    #[test]
    fn every_field_has_its_type() {
        for of in all_types() {
            for (field, _, kind) in of.fields {
                let wrong = json!({"k": 1});
                let message = wrong_type(field, of.name, kind.name(), &wrong);
                check_with(of, field, wrong, &message);
            }
        }
        check_with(
            &ENVELOPE,
            "ver",
            json!(1.5),
            "106: Field 'ver' on type 'Envelope' is of incorrect type. Expected: integer, Actual: number",
        );
        check_with(
            &ENVELOPE,
            "sampleRate",
            json!("100"),
            "106: Field 'sampleRate' on type 'Envelope' is of incorrect type. Expected: double, Actual: string",
        );
    }

    /// The message for the payload of an item; "" means accepted.
    #[track_caller]
    fn check_payload(base_type: &str, data: &Value, message: &str) {
        let judged = check_data(base_type, data.as_object().unwrap());
        assert_eq!(judged.err().unwrap_or_default(), message, "{base_type}");
    }

    #[test]
    fn a_fault_deep_in_an_exception_is_found() {
        let exception = |file: &str| {
            json!({"exceptions": [{"typeName": "E", "message": "m", "parsedStack": [
                {"level": 0, "method": "f", "fileName": file}]}]})
        };
        check_payload("ExceptionData", &exception("a.js"), "");
        // As the real service was quoted, but for the number.
        check_payload(
            "ExceptionData",
            &exception(&"x".repeat(1025)),
            "100: Field 'fileName' on type 'StackFrame' is too long. Expected: 1024 characters, Actual: 1025",
        );
        check_payload(
            "ExceptionData",
            &json!({"exceptions": [1]}),
            "106: Field 'exceptions' on type 'ExceptionData' is of incorrect type. Expected: object, Actual: number",
        );
    }

    #[test]
    fn a_type_is_known_by_its_other_names_and_an_unknown_one_passes() {
        let nameless = json!({"url": "u"});
        let message = missing("name", "PageViewData", "string");
        for name in ["PageViewData", "PageviewData", "PageEventData"] {
            check_payload(name, &nameless, &message);
        }
        check_payload("PageViewSomething", &nameless, "");
    }

    #[test]
    fn every_type_has_properties_and_measurements_with_limits() {
        for of in &TYPES {
            for field in ["properties", "measurements"] {
                let mut data = smallest(of);
                data.insert(field.to_owned(), json!({"k".repeat(151): 1}));
                let message = format!(
                    "100: Field '{field}' on type '{}' is too long. Expected: 150 characters, Actual: 151",
                    of.name
                );
                check_payload(of.name, &data.into(), &message);
            }
        }
    }
}
