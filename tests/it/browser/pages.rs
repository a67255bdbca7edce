//! Every page, as people see it: pictures in `target/screenshots/`, contrast, width.

use super::driver::{Browser, Look, browse};
use super::world::{TOKEN, World};

/// Logs in by the form.
pub(super) async fn log_in(browser: &Browser, token: &str) {
    browser.open("/").await;
    browser.fill("#token", token).await;
    browser.click("button.primary").await;
    browser.shows("form.who", 1).await;
}

/// Texts that are hard to read: their contrast is below that of WCAG AA.
const PALE: &str = r"
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => { for (let at = element; at; at = at.parentElement) { const color = rgba(getComputedStyle(at).backgroundColor); if (color[3] > 0.99) return color; }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1]; };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('svg') || element.disabled) continue;
    const style = getComputedStyle(element), [one, other] = [luminance(rgba(style.color)), luminance(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (contrast < (large ? 3 : 4.5)) found.push(element.tagName + '.' + element.className + ' ' + contrast.toFixed(2) + ': ' + element.textContent.slice(0, 40));
  }
  return found;
})()";

/// Elements that stand out of the window to the right, and that no box of their own scrolls.
const WIDE: &str = r"
[...document.body.querySelectorAll('*')].filter(element => element.getBoundingClientRect().right > innerWidth + 1
  && !element.closest('.wide, pre, .skip') && element.checkVisibility()).map(element => element.tagName + '.' + element.className + ': ' + element.textContent.slice(0, 40))";

#[tokio::test]
async fn every_page_is_readable_in_light_and_dark_and_at_400_pixels() {
    let world = World::start().await;
    let wrong = browse(&world.service, Look::PLAIN, async |browser| {
        let mut wrong = Vec::new();
        browser.open("/").await;
        browser.screenshot("login-light").await;
        log_in(&browser, TOKEN).await;
        let looks = [
            ("light", Look::PLAIN),
            ("dark", Look { dark: true, ..Look::PLAIN }),
            ("narrow", Look { width: 400, ..Look::PLAIN }),
        ];
        for (name, look) in looks {
            browser.look(look).await;
            for (page, target) in world.pages() {
                browser.open(&target).await;
                browser.screenshot(&format!("{page}-{name}")).await;
                for (what, script) in [("pale", PALE), ("wide", WIDE)] {
                    let found = browser.evaluate(script).await;
                    if found.as_array().is_none_or(|found| !found.is_empty()) {
                        wrong.push(format!("{page}, {name}, {what}: {found}"));
                    }
                }
            }
        }
        wrong
    })
    .await;
    assert_eq!(wrong, Vec::<String>::new());
    world.stop().await;
}
