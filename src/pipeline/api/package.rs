//! Packages: files that a script leaves and a registry keeps by digest. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RegistryLogin;
use crate::pipeline_run::api::TriggerKind;
use crate::schema::{self, closed_set};

/// Files that a script leaves and that are kept in a registry by digest, for a library that has no image, for example.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// Name of the package in the Release; no Build stage and no other package has it. Example: `parcels`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What it is: `Wheel` (`.whl`, and `.tar.gz` beside it), `Crate` (`.crate`), `Npm` (`.tgz`), or `File`, anything.
    /// The first three tell their version by the names of their files. Default `File`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<PackageType>,
    /// Globs of its files, from the root of the repository, 1 to 8; files that were there before the script are left
    /// out. They may be 16 files of at most 128 MiB each. Example: `["dist/*.whl", "dist/*.tar.gz"]`.
    #[schemars(length(min = 1), transform = globs)]
    pub files: Vec<String>,
    /// Repository of a registry to which it is pushed, without tag or digest. Example: `registry.example/shop/parcels`.
    #[schemars(transform = schema::repository)]
    pub repository: String,
    /// Pushes over http, for registries inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
    /// Login for the registry. The script does not see it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_secret_ref: Option<RegistryLogin>,
    /// What must have started a run for it to be pushed; in others there is none. Default: all but `PullRequest`.
    /// Example: `[Push]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::words::<8>)]
    pub push_on: Option<Vec<TriggerKind>>,
}

closed_set! {
    /// What a package is.
    #[derive(Default)]
    pub enum PackageType {
        /// Any files.
        #[default]
        File,
        /// A Python package.
        Wheel,
        /// A Rust package.
        Crate,
        /// A package for Node.js.
        Npm,
    }
}

/// Globs inside of the repository, where the cost of a rule would count for every entry.
fn globs(schema: &mut schemars::Schema) {
    let item = serde_json::json!({
        "type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^/.][^\\]*$",
    });
    schema.insert("items".to_owned(), item);
    schema.insert("maxItems".to_owned(), 8.into());
}

impl Package {
    /// What it is.
    pub fn type_(&self) -> PackageType {
        self.type_.unwrap_or_default()
    }

    /// Whether its registry is spoken to over http.
    pub fn insecure_registry(&self) -> bool {
        self.insecure_registry.unwrap_or(false)
    }

    /// Whether a run that was started so pushes it.
    pub fn pushes_on(&self, trigger: TriggerKind) -> bool {
        trigger.pushes(self.push_on.as_deref())
    }
}

impl PackageType {
    /// Ends of the names of its files; none where any will do.
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::File => &[],
            Self::Wheel => &[".whl", ".tar.gz"],
            Self::Crate => &[".crate"],
            Self::Npm => &[".tgz"],
        }
    }

    /// What a registry is told that it is.
    pub const fn artifact_type(self) -> &'static str {
        match self {
            Self::File => "application/vnd.slipway.package.file",
            Self::Wheel => "application/vnd.slipway.package.wheel",
            Self::Crate => "application/vnd.slipway.package.crate",
            Self::Npm => "application/vnd.slipway.package.npm",
        }
    }

    /// The version that the name of a file tells, where packages of this type have it there.
    pub fn version_in(self, file: &str) -> Option<String> {
        let version = match self {
            Self::File => return None,
            // The parts of a wheel's name have no dashes; a source archive ends with its version.
            Self::Wheel => match file.strip_suffix(".whl") {
                Some(name) => name.split('-').nth(1)?,
                None => file.strip_suffix(".tar.gz")?.rsplit_once('-')?.1,
            },
            Self::Crate => after_name(file.strip_suffix(".crate")?)?,
            Self::Npm => after_name(file.strip_suffix(".tgz")?)?,
        };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "._+!-".contains(c);
        let begins_well = version.starts_with(|c: char| c.is_ascii_digit());
        (begins_well && version.len() <= 64 && version.chars().all(is_fine))
            .then(|| version.to_owned())
    }
}

/// What follows `name-` where a semantic version begins: names have dashes and digits too.
fn after_name(text: &str) -> Option<&str> {
    let dashes = text.match_indices('-');
    let mut rests = dashes.filter_map(|(at, _)| text.get(at + 1..));
    let is_version = |rest: &&str| {
        let core = rest.split(['-', '+']).next().unwrap_or_default();
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        core.split('.').count() == 3 && core.split('.').all(is_number)
    };
    rests.find(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_files_tell_their_version() {
        let of = |type_: PackageType, file| type_.version_in(file);
        let some = |version: &str| Some(version.to_owned());
        let wheel = |file| of(PackageType::Wheel, file);
        assert_eq!(wheel("parcels-1.2.3-py3-none-any.whl"), some("1.2.3"));
        assert_eq!(wheel("parcels-1.2.3rc1.tar.gz"), some("1.2.3rc1"));
        assert_eq!(wheel("parcels.tar.gz"), None);
        let crates = |file| of(PackageType::Crate, file);
        assert_eq!(crates("md-5-0.10.6.crate"), some("0.10.6"));
        assert_eq!(crates("a-b-1.0.0-rc.1.crate"), some("1.0.0-rc.1"));
        assert_eq!(of(PackageType::Npm, "shop-web-2.0.1.tgz"), some("2.0.1"));
        assert_eq!(of(PackageType::Npm, "shop-web.tgz"), None);
        assert_eq!(of(PackageType::File, "a-1.0.0.tgz"), None);
        assert_eq!(wheel("a-$(id)-py3.whl"), None);
    }
}
