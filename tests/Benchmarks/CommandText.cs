using System.Text.RegularExpressions;
using Paravane.Peers;

namespace Paravane.Benchmarks;

/// <summary>Commands as they are printed: without the parts that differ from run to run.</summary>
internal static partial class CommandText
{
    /// <summary>The command of a process, with paths shortened.</summary>
    public static string Of(ChildProcess process)
    {
        string text = process.CommandLine.Replace(Programs.RepositoryRoot + "/", string.Empty, StringComparison.Ordinal);
        text = TemporaryPath().Replace(text, string.Empty);
        return FilePrefix().Replace(text, string.Empty).Replace("stdbuf -oL ", string.Empty, StringComparison.Ordinal);
    }

    [GeneratedRegex(@"/(tmp|dev/shm)/pv-[^/]+/")]
    private static partial Regex TemporaryPath();

    [GeneratedRegex(@" --file-prefix \w+")]
    private static partial Regex FilePrefix();
}
