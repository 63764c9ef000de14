#!/usr/bin/env bash
# Makes what is released: `make release` calls both of these.
#
#   release.sh build DIST ARCH…   builds the programs of each architecture (amd64, arm64) into a folder of its own in DIST. For
#                                 arm64 on amd64 it takes `rustup target add aarch64-unknown-linux-gnu`, and the packages
#                                 gcc-aarch64-linux-gnu and libc6-dev-arm64-cross
#   release.sh pack DIST OUT      packs what is there: an archive for each architecture, the chart, install.yaml, an SBOM,
#                                 with both architectures slipway.yaml for krew (URL is where releases are),
#                                 SHA256SUMS, and with SIGNING_KEY (a private key in PEM) their signature
#
# The same programs are packed into the same bytes; the SBOM alone has a time in it. SYFT is how syft is called.
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")" && pwd)

build() {
    local dist=$1 arch triple folder
    shift
    # What another version left there would be packed too.
    rm -rf "${dist:?}"/{amd64,arm64}
    for arch in "$@"; do
        case $arch in
            amd64) triple=x86_64-unknown-linux-gnu ;;
            arm64)
                triple=aarch64-unknown-linux-gnu
                if [[ $(uname -m) != aarch64 ]]; then
                    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
                    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
                fi
                ;;
            *) echo "release.sh: there is no architecture $arch; there is amd64, arm64" >&2; exit 2 ;;
        esac
        (
            cd "$root"
            cargo build --release --locked --target "$triple" --bin slipway --bin kubectl-slipway
            # It is copied into containers of any image, so it is one static file.
            cargo rustc --release --locked --target "$triple" --bin slipway-runner -- -C target-feature=+crt-static
        )
        folder=${CARGO_TARGET_DIR:-$root/target}/$triple/release
        mkdir -p "$dist/$arch"
        install -m 0755 "$folder"/{slipway,kubectl-slipway,slipway-runner} "$dist/$arch/"
    done
}

# An archive whose bytes follow from what is in it.
archive() {
    local folder=$1 into=$2
    shift 2
    tar --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=u+rwX,go+rX,go-w -C "$folder" -cf - "$@" | gzip -9n > "$into"
}

# The manifest for krew, with the digests of the archives that it names; none where one of them is missing.
krew() {
    local out=$1 version=$2 amd64 arm64
    amd64=$out/slipway-$version-linux-amd64.tar.gz
    arm64=$out/slipway-$version-linux-arm64.tar.gz
    if [[ -f $amd64 && -f $arm64 ]]; then
        sed -e '1s/^#.*/# The manifest of the plugin for krew./' \
            -e "s|@URL@|${URL:-https://github.com/slipway-dev/slipway}|" -e "s|@VERSION@|$version|g" \
            -e "s|@SHA256_LINUX_AMD64@|$(sha256sum < "$amd64" | cut -d ' ' -f 1)|" \
            -e "s|@SHA256_LINUX_ARM64@|$(sha256sum < "$arm64" | cut -d ' ' -f 1)|" \
            "$root/packaging/krew/slipway.yaml" > "$out/slipway.yaml"
    fi
}

pack() {
    local dist=$1 out=$2 version arch chart
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
    export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
    mkdir -p "$out"
    rm -f "$out"/slipway[-.]* "$out"/install.yaml "$out"/SHA256SUMS*
    for arch in amd64 arm64; do
        if [[ -d $dist/$arch ]]; then
            archive "$dist" "$out/slipway-$version-linux-$arch.tar.gz" "$arch"
        fi
    done
    # Only what git knows of.
    mapfile -d '' -t chart < <(git -C "$root/charts" ls-files -z slipway)
    archive "$root/charts" "$out/slipway-$version.tgz" "${chart[@]}"
    cp "$root/manifests/install.yaml" "$out/install.yaml"
    (cd "$root" && ${SYFT:-syft} scan file:Cargo.lock --quiet --output cyclonedx-json) > "$out/slipway-$version.cdx.json"
    krew "$out" "$version"
    (cd "$out" && sha256sum install.yaml slipway[-.]* > SHA256SUMS)
    if [[ -n ${SIGNING_KEY:-} ]]; then
        openssl dgst -sha256 -sign "$SIGNING_KEY" "$out/SHA256SUMS" | base64 -w 0 > "$out/SHA256SUMS.sig"
    fi
}

case ${1:-} in
    build | pack) "$@" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
