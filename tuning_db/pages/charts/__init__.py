"""Charts as inline SVG: functions from plain data to text; colours are classes of the style sheet."""
