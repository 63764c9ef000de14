//! The list of what is in an image for several platforms: CycloneDX that names the image of each, and the list of what is in
//! that. No I/O.

use serde_json::{Value, json};

use crate::oci::manifest::is_digest;

/// Property of a component that says for which platform it is.
const PLATFORM: &str = "slipway:platform";
/// How the place of a list begins.
const PLACE: &str = "oci://";

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The platform. Example: `linux/arm64`.
    pub platform: String,
    /// Digest of its image.
    pub image: String,
    /// Digest of the artifact with the list of what is in it.
    pub list: String,
}

/// The list of an image for several platforms. The same parts always make the same one.
pub fn of_platforms(repository: &str, digest: &str, parts: &[Part]) -> Value {
    let component = |part: &Part| {
        json!({
            "bom-ref": part.image,
            "type": "container",
            "name": repository,
            "version": part.image,
            "properties": [{"name": PLATFORM, "value": part.platform}],
            "externalReferences": [
                {"type": "bom", "url": format!("{PLACE}{repository}@{}", part.list)},
            ],
        })
    };
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "bom-ref": digest,
                "type": "container",
                "name": repository,
                "version": digest,
            },
        },
        "components": parts.iter().map(component).collect::<Vec<Value>>(),
    })
}

/// The parts of such a list; none of any other.
pub fn parts(bom: &Value) -> Vec<Part> {
    let components = bom.get("components").and_then(Value::as_array);
    components.into_iter().flatten().filter_map(part).collect()
}

fn part(component: &Value) -> Option<Part> {
    let items = |list: &str| component.get(list)?.as_array();
    let text = |item: &Value, field: &str| Some(item.get(field)?.as_str()?.to_owned());
    let properties = items("properties")?.iter();
    let mut platforms = properties.filter(|one| text(one, "name").as_deref() == Some(PLATFORM));
    let references = items("externalReferences")?.iter();
    let mut lists = references.filter(|one| text(one, "type").as_deref() == Some("bom"));
    let place = text(lists.next()?, "url")?;
    let (_, list) = place.strip_prefix(PLACE)?.rsplit_once('@')?;
    let part = Part {
        platform: text(platforms.next()?, "value")?,
        image: text(component, "version")?,
        list: list.to_owned(),
    };
    (is_digest(&part.image) && is_digest(&part.list)).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline_run::testing::digest;

    #[test]
    fn what_is_listed_is_found_again_and_nothing_else_is() {
        let part = |platform: &str, image: char, list: char| Part {
            platform: platform.into(),
            image: digest(image),
            list: digest(list),
        };
        let known = [
            part("linux/amd64", '1', '2'),
            part("linux/arm/v7", '3', '4'),
        ];
        let bom = of_platforms("registry.example:5000/shop/api", &digest('9'), &known);
        assert_eq!(parts(&bom), known);
        let place = &bom["components"][1]["externalReferences"][0]["url"];
        let expected = format!("oci://registry.example:5000/shop/api@{}", digest('4'));
        assert_eq!(place, &json!(expected));
        assert_eq!(bom["metadata"]["component"]["version"], json!(digest('9')));
        let other = json!({"bomFormat": "CycloneDX", "components": [{"name": "openssl", "version": "3.0.1"}]});
        assert_eq!(parts(&other), []);
        let mut wrong = bom;
        wrong["components"][0]["version"] = "latest".into();
        assert_eq!(parts(&wrong), known[1..]);
    }
}
