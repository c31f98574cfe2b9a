using System.Text.RegularExpressions;
using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>The pages under docs/ say the truth about code and tests.</summary>
public sealed partial class DocumentationTests
{
    private const string Later = "with a later capability";

    private static readonly Dictionary<string, string> s_rows = File.ReadLines(Path.Combine(Programs.RepositoryRoot, "docs/threats.md"))
        .Select(line => Row().Match(line)).Where(match => match.Success).ToDictionary(match => match.Groups["number"].Value, match => match.Groups["proof"].Value.Trim());

    private static readonly HashSet<string> s_tests = [.. Directory.EnumerateFiles(Path.Combine(Programs.RepositoryRoot, "tests"), "*.cs", SearchOption.AllDirectories)
        .SelectMany(file => TestMethod().Matches(File.ReadAllText(file))).Select(match => match.Groups["name"].Value)];

    [Fact]
    public void Every_threat_names_tests_that_exist_or_says_that_it_comes_later()
    {
        Assert.Equal(78, s_rows.Count);
        Assert.All(s_rows, row =>
        {
            string[] named = [.. Code().Matches(row.Value).Select(match => match.Groups["name"].Value)];
            Assert.True(named.Length > 0 || row.Value == Later, $"{row.Key} has no proof");
            Assert.All(named, name => Assert.True(s_tests.Contains(name), $"{row.Key} names {name}, which is no test"));
        });
    }

    [Fact]
    public void Every_test_that_is_named_after_a_threat_stands_in_its_row()
    {
        Assert.All(s_tests, test =>
        {
            foreach (string number in test.Split('_').TakeWhile(word => word == "and" || Number().IsMatch(word)).Where(word => word != "and"))
            {
                Assert.True(s_rows.TryGetValue(number, out string? proof), $"{test} names {number}, which is no row of docs/threats.md");
                Assert.True(proof.Contains($"`{test}`", StringComparison.Ordinal), $"docs/threats.md lacks `{test}` in row {number}: run build/threats");
            }
        });
    }

    [Theory, InlineData("EntropyDevice.cs"), InlineData("EntropyLoop.cs"), InlineData("Program.cs")]
    public void The_page_about_a_device_of_ones_own_shows_the_code_that_is_tested(string file)
    {
        string page = File.ReadAllText(Path.Combine(Programs.RepositoryRoot, "docs/own-device.md"));
        string code = File.ReadAllText(Path.Combine(Programs.RepositoryRoot, "tests/OwnDevice", file));
        Assert.Contains($"```csharp\n{code}```", page, StringComparison.Ordinal);
    }

    [Theory, InlineData("--disk=ram=1M"), InlineData("--net=loop"), InlineData("--vhost-user=type=blk,path=/x"), InlineData("--vhost-user=type=net,path=/x")]
    public void Every_key_of_a_device_stands_in_the_help_and_in_README(string device)
    {
        string option = device[..device.IndexOf('=', StringComparison.Ordinal)];
        (int code, _, string transcript) = ChildProcess.Run(Programs.Paravane, ["run", "--kernel=k", $"{device},colour=red"], TimeSpan.FromSeconds(20));
        Assert.Equal(2, code);
        string[] keys = transcript[transcript.IndexOf("there are ", StringComparison.Ordinal)..].Trim()["there are ".Length..].Split(", ");
        Assert.True(keys.Length > 5, transcript);

        string help = ChildProcess.Run(Programs.Paravane, ["run", "--help"], TimeSpan.FromSeconds(20)).Output;
        int start = help.IndexOf($"  {option} ", StringComparison.Ordinal);
        string entry = help[start..help.IndexOf("\n  --", start, StringComparison.Ordinal)];
        string readme = File.ReadAllText(Path.Combine(Programs.RepositoryRoot, "README.md"));
        string table = readme[readme.IndexOf("### Keys of a device", StringComparison.Ordinal)..readme.IndexOf("## libvirt", StringComparison.Ordinal)];
        Assert.All(keys, key =>
        {
            Assert.Matches($@"\b{key}\b", entry);
            Assert.Matches($@"`{key}\b", table);
        });
    }

    [GeneratedRegex(@"^\| (?<number>[A-Z]\d+[a-z]?) \|.*\| (?<proof>[^|]*) \|$")]
    private static partial Regex Row();

    [GeneratedRegex(@"\[(Fact|Theory|InlineData|MemberData|ClassData)\b[^;{}]*?\b(void|Task) (?<name>\w+)\(")]
    private static partial Regex TestMethod();

    [GeneratedRegex(@"`(?<name>\w+)`")]
    private static partial Regex Code();

    [GeneratedRegex(@"^[MARNBIH]\d+[a-z]?$")]
    private static partial Regex Number();
}
