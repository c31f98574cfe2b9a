using Paravane.Peers;

namespace Paravane.EndToEnd.Processes;

/// <summary>Runs of a back-end that should end by themselves.</summary>
internal static class BackEndProgram
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    /// <summary>Path of <c>paravane-blk</c> or <c>paravane-net</c>.</summary>
    public static string Find(string name) => Path.Combine(Programs.RepositoryRoot, "bin", name);

    /// <summary>Options with which it starts, besides the socket's.</summary>
    public static string[] Minimum(string name) => name == "paravane-blk" ? ["--blk-ram=16M"] : ["--net=loop"];

    /// <summary>Runs it to its end.</summary>
    public static (int ExitCode, string Output, string Transcript) Run(string name, params IEnumerable<string> arguments) =>
        ChildProcess.Run(Find(name), arguments, s_limit);

    /// <summary>Expects it to end with this code and to say why in one line on standard error, which it returns.</summary>
    public static string Refuses(int exitCode, string name, params IEnumerable<string> arguments)
    {
        (int code, string output, string transcript) = Run(name, arguments);
        Assert.True(code == exitCode, $"exit code {code}:\n{transcript}");
        Assert.Empty(output);
        return Assert.Single(transcript.TrimEnd('\n').Split('\n'));
    }
}
