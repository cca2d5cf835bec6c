//! How patches merge, what counts toward the size of a twin, and how devices and service clients see it.

use super::*;

const UNIX: Duration = Duration::from_secs(1_800_000_000);
const TIME: &str = "2027-01-15T08:00:00Z";

fn object(value: Value) -> Properties {
    let Value::Object(object) = value else { panic!("{value} is not an object") };
    object
}

fn report(twin: &mut Twin, patch: Value) -> Result<u64, TwinError> {
    twin.update_reported(twin_patch::parse(patch.to_string().as_bytes())?, None, UNIX)
}

fn view(twin: &Twin) -> Value {
    serde_json::from_str(&twin.device_view()).unwrap()
}

#[test]
fn new_twin_is_empty_and_has_version_1() {
    assert_eq!(Twin::default().device_view(), r#"{"desired":{"$version":1},"reported":{"$version":1}}"#);
}

#[test]
fn objects_merge_null_deletes_and_other_values_replace() {
    let mut twin = Twin::default();
    for (patch, expected) in [
        (json!({"a": 1, "o": {"x": 1, "y": {"z": 2}}}), json!({"a": 1, "o": {"x": 1, "y": {"z": 2}}})),
        (json!({"o": {"x": null, "y": {"w": 3}}}), json!({"a": 1, "o": {"y": {"z": 2, "w": 3}}})),
        (json!({"a": {"n": 1, "gone": null}}), json!({"a": {"n": 1}, "o": {"y": {"z": 2, "w": 3}}})),
        (json!({"o": [1, [], {"k": 2}], "b": null}), json!({"a": {"n": 1}, "o": [1, [], {"k": 2}]})),
        (json!({"o": "text", "a": null}), json!({"o": "text"})),
        (json!({}), json!({"o": "text"})),
    ] {
        report(&mut twin, patch).unwrap();
        let Value::Object(mut reported) = view(&twin)["reported"].take() else { panic!() };
        reported.remove("$version");
        assert_eq!(Value::Object(reported), expected);
    }
    assert_eq!(view(&twin)["reported"]["$version"], 7, "each accepted patch adds 1");
    assert_eq!(view(&twin)["desired"]["$version"], 1);
}

#[test]
fn ten_levels_of_objects_are_stored_in_each_section() {
    let ten: Value =
        (0..10).fold(json!({"property": "value"}), |inner, level| json!({ level.to_string(): inner }));
    let ten = object(ten);
    let mut twin = Twin::default();
    assert_eq!(twin.update_reported(ten.clone(), None, UNIX), Ok(2));
    assert_eq!(twin.update_desired(ten.clone(), UNIX), Ok(2));
    assert_eq!(twin.update_tags(ten), Ok(4));
}

#[test]
fn a_refused_patch_leaves_the_twin_unchanged() {
    let mut twin = Twin::default();
    report(&mut twin, json!({"kept": true})).unwrap();
    let before = twin.clone();
    let large = object(json!({"a": "v".repeat(33 * 1024)}));
    assert!(matches!(twin.update_reported(large.clone(), None, UNIX), Err(TwinError::TooLarge { .. })));
    assert!(matches!(twin.update_desired(large.clone(), UNIX), Err(TwinError::TooLarge { .. })));
    assert!(matches!(twin.update_tags(large), Err(TwinError::TooLarge { .. })));
    assert_eq!(twin, before);
}

#[test]
fn control_characters_do_not_count_toward_the_size() {
    // Half of each string's characters are control characters.
    let values = |n: usize| (0..n).map(|i| (format!("{i:04}"), "v\n".repeat(2044).into()));
    let patch = |n: usize, more: usize| {
        Properties::from_iter(values(n).chain([("more".to_owned(), "m".repeat(more).into())]))
    };
    let mut twin = Twin::default();
    let (full, tags_full) = (patch(15, 2044), patch(3, 2044));
    twin_patch::check(&full).unwrap();
    assert_eq!(twin.update_reported(full.clone(), None, UNIX), Ok(2));
    assert_eq!(twin.update_desired(full, UNIX), Ok(2));
    assert_eq!(twin.update_tags(tags_full), Ok(4));
    let too_large = |bytes_max| Err(TwinError::TooLarge { bytes: bytes_max + 1, bytes_max });
    assert_eq!(twin.update_reported(patch(0, 2045), None, UNIX), too_large(32 * 1024));
    assert_eq!(twin.update_desired(patch(0, 2045), UNIX), too_large(32 * 1024));
    assert_eq!(twin.update_tags(patch(0, 2045)), too_large(8 * 1024));
}

#[test]
fn the_size_limit_applies_to_the_merged_section() {
    let mut twin = Twin::default();
    for index in 0..8 {
        let key = format!("{index}").repeat(4);
        assert!(report(&mut twin, json!({ key: "v".repeat(4092) })).is_ok());
    }
    let (bytes, bytes_max) = (32 * 1024 + 9, 32 * 1024);
    assert_eq!(report(&mut twin, json!({"n": 1})), Err(TwinError::TooLarge { bytes, bytes_max }));
    report(&mut twin, json!({"0000": null, "n": 1})).unwrap();
    assert_eq!(view(&twin)["reported"]["$version"], 10);
}

#[test]
fn a_patch_for_another_version_is_refused_with_412() {
    let mut twin = Twin::default();
    assert_eq!(twin.update_reported(object(json!({"a": 1})), Some(1), UNIX), Ok(2));
    let error = twin.update_reported(object(json!({"a": 2})), Some(1), UNIX).unwrap_err();
    assert_eq!((error, error.status()), (TwinError::Version { expected: 1, actual: 2 }, 412));
    let body: Value = serde_json::from_str(&error_body(error, UNIX)).unwrap();
    assert_eq!((&body["errorCode"], &body["timestampUtc"]), (&json!(412_001), &json!(TIME)));
    assert_eq!(body["message"], "the version is 2, not 1");
}

#[test]
fn service_view_has_tags_and_update_times() {
    let mut twin = Twin::default();
    assert_eq!(twin.update_desired(object(json!({"a": {"b": 1}})), UNIX), Ok(2));
    report(&mut twin, json!({"r": 1})).unwrap();
    let stamp = json!({"$lastUpdated": TIME});
    let mut desired = json!({"$lastUpdated": TIME, "$lastUpdatedVersion": 2});
    let leaf = desired.clone();
    desired["a"] = leaf.clone();
    desired["a"]["b"] = leaf;
    assert_eq!(twin.update_tags(object(json!({"site": {"floor": 1}, "gone": null}))), Ok(4));
    assert_eq!(
        twin.service_view(),
        json!({"version": 4, "tags": {"site": {"floor": 1}}, "properties": {
            "desired": {"a": {"b": 1}, "$metadata": desired, "$version": 2},
            "reported": {"r": 1, "$metadata": {"$lastUpdated": TIME, "r": stamp}, "$version": 2},
        }})
    );
}
