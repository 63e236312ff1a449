"""The style and the lines of text that all pictures share."""

from xml.sax.saxutils import escape

STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 16px; }
  .note { font-size: 12px; fill: #59636e; }
  .line { stroke: #8b949e; stroke-opacity: 0.35; }
  .ours { fill: #1a7f5a; }
  .peer { fill: #8b949e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9198a1; }
    .ours { fill: #3fb984; }
    .peer { fill: #7d8590; }
  }
"""


def text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    """Return a line of text whose left end, middle or right end is at a point, in px."""
    styled = f' class="{style}"' if style else ""
    return f'<text{styled} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
