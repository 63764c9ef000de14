//! A quality report as one HTML page: no scripts, nothing loaded, and everything from outside escaped. No I/O.
//!
//! For people who do not see it: one heading per section in order, tables with captions and headers of rows and columns, answers
//! in words and never in colours alone. Colours have a contrast of 7 to 1 at least.

use super::section::{Section, sections, title};
use crate::cli::text::escaped;
use crate::model::span::exact;
use crate::release::report::Report;

/// What it looks like. Wide tables scroll; on paper there are no borders but lines.
const STYLE: &str = "\
:root{color-scheme:light}\
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:72rem;margin:0 auto;padding:1.5rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}\
.table{overflow-x:auto}\
table{border-collapse:collapse;width:100%}\
caption{text-align:left;font-size:.9rem;color:#333;padding:.25rem 0}\
th,td{border:1px solid #767676;padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
thead th{background:#f0f0f0}tbody th{font-weight:600}\
@media print{.table{overflow:visible}body{padding:0}}";

/// The report.
pub fn page(report: &Report) -> String {
    let title = escaped(&title(report));
    let made = exact(report.generated_at);
    let parts = sections(report);
    let body: String = parts.iter().map(written).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p>Made <time datetime=\"{made}\">{made}</time> from the records of the cluster, in the form <code>{}</code>.</p>\n\
         {body}</main>\n</body>\n</html>\n",
        report.schema
    )
}

fn written(section: &Section) -> String {
    let id = section.title.to_ascii_lowercase().replace(' ', "-");
    let head = format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n",
        section.title
    );
    if section.rows.is_empty() {
        return format!("{head}<p>{}</p>\n</section>\n", section.without);
    }
    let headings = section.headings.iter();
    let headings = headings.map(|text| format!("<th scope=\"col\">{text}</th>"));
    let headings: Vec<String> = headings.collect();
    let headings = headings.concat();
    let rows: String = section.rows.iter().map(|row| format_row(row)).collect();
    let count = match section.rows.len() {
        1 => "1 row".to_owned(),
        count => format!("{count} rows"),
    };
    format!(
        "{head}<div class=\"table\" role=\"region\" aria-labelledby=\"{id}\" tabindex=\"0\">\n<table>\n\
         <caption>{}, {count}</caption>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n",
        section.title
    )
}

fn format_row(row: &[String]) -> String {
    let cells = row.iter().enumerate().map(|(index, cell)| {
        let text = escaped(cell);
        match index {
            0 => format!("<th scope=\"row\">{text}</th>"),
            _ => format!("<td>{text}</td>"),
        }
    });
    format!("<tr>{}</tr>\n", cells.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::release::report::markdown;
    use crate::release::report::testing::{hostile, shop};

    #[test]
    fn a_whole_report() {
        let report = shop();
        insta::assert_snapshot!("html", page(&report));
        insta::assert_snapshot!("markdown", markdown::page(&report));
    }

    #[test]
    fn what_people_wrote_stays_text() {
        let report = hostile();
        let html = page(&report);
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("<img"), "{html}");
        assert!(
            html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
            "{html}"
        );
        let text = markdown::page(&report);
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains(r"\[x\](http&#58;//evil)"), "no link: {text}");
        assert!(!text.contains("://"), "{text}");
        assert!(!text.contains(" @"), "nobody is called: {text}");
        // A bar within a cell makes no column.
        let changes = text.split("## Changes").nth(1).unwrap();
        let rows = changes.lines().filter(|line| line.starts_with('|'));
        let columns = rows.map(|row| row.replace("\\|", "").matches('|').count());
        assert!(columns.clone().count() > 2);
        assert!(columns.clone().all(|count| count == 5), "{changes}");
    }

    /// A table has as many cells in each row as headings, each row has a header, and headings come in their order.
    #[test]
    fn the_page_can_be_read_without_seeing_it() {
        let html = page(&shop());
        assert_eq!(html.matches("<h1>").count(), 1);
        assert!(html.contains("<html lang=\"en\">"));
        for table in html.split("<table>").skip(1) {
            let table = table.split("</table>").next().unwrap();
            assert!(table.trim_start().starts_with("<caption>"), "{table}");
            let columns = table.matches("scope=\"col\"").count();
            let rows = table.split("<tbody>").nth(1).unwrap();
            for row in rows.lines().filter(|line| line.starts_with("<tr>")) {
                assert_eq!(row.matches("scope=\"row\"").count(), 1, "{row}");
                assert_eq!(row.matches("<td>").count() + 1, columns, "{row}");
            }
        }
        for forbidden in [
            "<script",
            "javascript:",
            "http-equiv=\"refresh\"",
            "src=",
            "onload",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}
