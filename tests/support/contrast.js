// Texts with less contrast than WCAG 2.2 asks for (1.4.3, level AA): each with its ratio.
(() => {
  const parsed = (color) => {
    const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
    return [red, green, blue, alpha];
  };
  const over = ([red, green, blue, alpha], below) =>
    [red, green, blue].map((part, index) => part * alpha + below[index] * (1 - alpha));
  const linear = (part) =>
    part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) =>
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const canvas = isDark ? [18, 18, 18] : [255, 255, 255];
  const backgrounds = new Map([[null, canvas]]);
  const background = (element) => {
    if (!backgrounds.has(element)) {
      const own = parsed(getComputedStyle(element).backgroundColor);
      backgrounds.set(element, over(own, background(element.parentElement)));
    }
    return backgrounds.get(element);
  };

  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement: element } = texts.currentNode;
    if (!data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const below = background(element);
    const ratio = contrast(over(parsed(getComputedStyle(element).color), below), below);
    if (ratio < 4.5) found.push(`${element.className}: ${data.trim()}: ${ratio.toFixed(2)}`);
  }
  return found;
})()
