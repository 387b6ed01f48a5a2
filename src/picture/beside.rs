//! Several pages in one file, to be compared: a bar with their titles, and the page that is chosen.
//!
//! Each page is a frame with its source in the attribute `srcdoc`. So nothing is fetched, and no
//! page can touch another. The bar needs no scripts: it is a group of radio buttons, and the style
//! shows the frame of the one that is checked.

use super::page::escape;

/// A frame that is not shown keeps its size, because its page may draw.
const STYLE: &str = "\
html,body{margin:0;height:100%;font:14px system-ui,sans-serif;color-scheme:light dark}\
body{display:flex;flex-wrap:wrap;align-items:start;align-content:start;background:Canvas;color:CanvasText}\
label{padding:.6em 1em;border-bottom:3px solid transparent;cursor:pointer}\
input{position:absolute;opacity:0}\
input:checked+label{border-color:currentColor;font-weight:600}\
input:focus-visible+label{outline:2px solid Highlight}\
iframe{position:absolute;top:3em;left:0;width:100%;height:calc(100% - 3em);border:0;visibility:hidden}";

/// A file with all `pages`, each a title and the source of a page.
pub(crate) fn beside(pages: &[(&str, String)]) -> String {
    let mut bar = String::new();
    let mut frames = String::new();
    let mut style = STYLE.to_string();
    for (number, (title, source)) in pages.iter().enumerate() {
        let (title, checked) = (escape(title), if number == 0 { " checked" } else { "" });
        bar += &format!(
            "<input type=\"radio\" name=\"page\" id=\"p{number}\"{checked}>\
             <label for=\"p{number}\">{title}</label>\n"
        );
        // Nothing else can end an attribute or be read as something else in it.
        let source = source.replace('&', "&amp;").replace('"', "&quot;");
        frames +=
            &format!("<iframe id=\"f{number}\" title=\"{title}\" srcdoc=\"{source}\"></iframe>\n");
        style += &format!("#p{number}:checked~#f{number}{{visibility:visible}}");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <title>{}</title>\n<style>{style}</style>\n{bar}{frames}",
        pages
            .first()
            .map_or(String::new(), |(title, _)| escape(title)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stay_within_their_frames() {
        let hostile = r#"<p title="a">&amp;</p></iframe><script>alert(1)</script>"#;
        let file = beside(&[("with <b>", hostile.into()), ("without", "<p>".into())]);
        assert_eq!(file.matches("<iframe").count(), 2);
        assert!(
            file.contains("&quot;a&quot;>&amp;amp;</p></iframe><script>"),
            "{file}"
        );
        assert!(
            file.contains("with &lt;b&gt;") && !file.contains("<b>"),
            "{file}"
        );
        // Outside of its attribute nothing of a page is left.
        let mut outside = String::new();
        for (at, part) in file.split("srcdoc=\"").enumerate() {
            outside += if at == 0 {
                part
            } else {
                part.split_once('"').unwrap().1
            };
        }
        assert!(!outside.contains("<script"), "{outside}");
    }
}
