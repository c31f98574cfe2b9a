using System.Globalization;
using System.Net;
using System.Text;

namespace Paravane.Benchmarks;

/// <summary>Draws a table as horizontal bars: ours and the peer's below each other, with the range of the rounds and the ratio.</summary>
internal static class BarChart
{
    private const int Width = 860;
    private const int LabelWidth = 250;
    private const int BarSpace = 400;               // from the axis to the end of the longest range
    private const int BarHeight = 16;
    private const int BarGap = 3;
    private const int RowGap = 16;
    private const int Top = 64;

    /// <summary>Colours follow the reader's light or dark theme.</summary>
    private const string Style = """
        <style>
          .paper { fill: #ffffff; }
          text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; }
          .title { font-size: 16px; font-weight: 600; }
          .faint { fill: #656d76; }
          .ours { fill: #0a6ebd; }
          .peer { fill: #b4bcc6; }
          .range { stroke: #1f2328; stroke-width: 1.5; }
          .axis { stroke: #656d76; stroke-width: 1; }
          .must { stroke: #c4432b; stroke-width: 1.5; stroke-dasharray: 4 3; }
          @media (prefers-color-scheme: dark) {
            .paper { fill: #0d1117; }
            text { fill: #e6edf3; }
            .faint { fill: #9198a1; }
            .ours { fill: #4fa8f0; }
            .peer { fill: #59636e; }
            .range { stroke: #e6edf3; }
            .axis { stroke: #9198a1; }
            .must { stroke: #ff8a70; }
          }
        </style>

        """;

    /// <summary>The chart as an SVG document.</summary>
    public static string Draw(MeasuredTable measured)
    {
        double most = measured.Rows.Max(row => Math.Max(row.Ours.Max, row.Peer?.Max ?? row.Must?.Bar ?? 0));
        double scale = most > 0 ? BarSpace / most : 0;
        var body = new StringBuilder();
        int y = Top;
        foreach (MeasuredRow row in measured.Rows)
            y = Append(body, row, y, scale);

        int height = y + 4;
        var text = new StringBuilder();
        string title = Escape(measured.Table.Title);
        text.Append(CultureInfo.InvariantCulture,
            $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{height}\" viewBox=\"0 0 {Width} {height}\" role=\"img\" aria-label=\"{title}\">\n");
        text.Append(Style);
        text.Append(CultureInfo.InvariantCulture, $"<rect class=\"paper\" width=\"{Width}\" height=\"{height}\"/>\n");
        text.Append(CultureInfo.InvariantCulture, $"<text class=\"title\" x=\"8\" y=\"22\">{title}</text>\n");
        AppendLegend(text, measured);
        text.Append(CultureInfo.InvariantCulture, $"<line class=\"axis\" x1=\"{LabelWidth}\" y1=\"{Top - 6}\" x2=\"{LabelWidth}\" y2=\"{y - RowGap + 6}\"/>\n");
        text.Append(body);
        return text.Append("</svg>\n").ToString();
    }

    private static void AppendLegend(StringBuilder text, MeasuredTable measured)
    {
        string[] peers = [.. measured.Rows.Where(row => row.Peer is not null).Select(row => row.Peer!.Name.Split(',')[0]).Distinct()];
        string better = measured.Table.MoreIsBetter ? "longer is better" : "shorter is better";
        text.Append(CultureInfo.InvariantCulture, $"<text class=\"faint\" x=\"8\" y=\"44\">{Escape(measured.Table.Unit)}, {better}</text>\n");
        text.Append(CultureInfo.InvariantCulture, $"<rect class=\"ours\" x=\"{LabelWidth}\" y=\"33\" width=\"12\" height=\"12\" rx=\"2\"/><text x=\"{LabelWidth + 18}\" y=\"44\">paravane</text>\n");
        if (measured.Rows.Any(row => row.Peer is null && row.Must is not null))
            text.Append(CultureInfo.InvariantCulture, $"<line class=\"must\" x1=\"{LabelWidth + 106}\" y1=\"31\" x2=\"{LabelWidth + 106}\" y2=\"47\"/><text x=\"{LabelWidth + 118}\" y=\"44\">at most</text>\n");
        if (peers.Length > 0)
            text.Append(CultureInfo.InvariantCulture, $"<rect class=\"peer\" x=\"{LabelWidth + 100}\" y=\"33\" width=\"12\" height=\"12\" rx=\"2\"/><text x=\"{LabelWidth + 118}\" y=\"44\">{Escape(string.Join(", ", peers))}</text>\n");
    }

    private static int Append(StringBuilder text, MeasuredRow row, int y, double scale)
    {
        int bars = row.Peer is null ? 1 : 2;
        int middle = y + (((bars * (BarHeight + BarGap)) - BarGap) / 2) + 5;
        text.Append(CultureInfo.InvariantCulture, $"<text x=\"{LabelWidth - 10}\" y=\"{middle}\" text-anchor=\"end\">{Escape(row.Label)}</text>\n");
        AppendBar(text, "ours", row.Ours, y, scale);
        if (row.Peer is null && row.Must is not null)
            AppendMust(text, row.Must, y, scale);
        y += BarHeight + BarGap;
        if (row.Peer is not null)
        {
            AppendBar(text, "peer", row.Peer, y, scale);
            y += BarHeight + BarGap;
            text.Append(CultureInfo.InvariantCulture, $"<text class=\"title\" x=\"{Width - 12}\" y=\"{middle}\" text-anchor=\"end\">{row.Compared:0.00} ×</text>\n");
        }

        return y + RowGap;
    }

    private static void AppendBar(StringBuilder text, string side, Series series, int y, double scale)
    {
        double length = Math.Max(1, series.Median * scale);
        double low = LabelWidth + (series.Min * scale);
        double high = LabelWidth + (series.Max * scale);
        int middle = y + (BarHeight / 2);
        text.Append(CultureInfo.InvariantCulture, $"<rect class=\"{side}\" x=\"{LabelWidth}\" y=\"{y}\" width=\"{length:0.0}\" height=\"{BarHeight}\" rx=\"2\"/>");
        if (high - low > 2)
            text.Append(CultureInfo.InvariantCulture, $"<line class=\"range\" x1=\"{low:0.0}\" y1=\"{middle}\" x2=\"{high:0.0}\" y2=\"{middle}\"/>");
        text.Append(CultureInfo.InvariantCulture, $"<text x=\"{Math.Max(high, LabelWidth + length) + 8:0.0}\" y=\"{middle + 5}\">{MarkdownReport.Figure(series.Median)}</text>\n");
    }

    private static void AppendMust(StringBuilder text, Must must, int y, double scale)
    {
        double x = LabelWidth + (must.Bar * scale);
        text.Append(CultureInfo.InvariantCulture, $"<line class=\"must\" x1=\"{x:0.0}\" y1=\"{y - 5}\" x2=\"{x:0.0}\" y2=\"{y + BarHeight + 5}\"/>\n");
    }

    private static string Escape(string text) => WebUtility.HtmlEncode(text);
}
