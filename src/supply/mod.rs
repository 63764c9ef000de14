//! What proves where an image comes from: statements about it, signed by a key or in the name of an identity, as Sigstore's tools write and read them.
//!
//! A statement (in-toto) says something about a digest: that somebody signs for it, how it was built (SLSA), what is in it
//! (CycloneDX). `envelope` packs one with its signature (DSSE) as a Sigstore bundle, which lies in the registry as an artifact that
//! refers to the image; `key` reads and uses keys; `keyless` believes certificates of identities; `trust` is whose signatures count; `statement` makes and reads what is signed; `simple` is the older form of a signature; `bom` is the list of
//! what is in an image for several platforms. All of it is pure: who fetches
//! and stores is in `oci/`, and the private key is in no process but the one of a Sign stage, stays in a key service, or is gone when it has signed.

pub mod bom;
pub mod envelope;
pub mod finding;
pub mod key;
pub mod keyless;
pub mod simple;
pub mod statement;
pub mod trust;
