using System.CommandLine;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Makers of options: name, meaning, default, parser in one line each.</summary>
internal static class Options
{
    /// <summary>A size; <paramref name="whenAbsent"/> is shown as the default.</summary>
    public static Option<ByteCount> Size(string name, string description, ulong whenAbsent) =>
        new(name) { Description = description, HelpName = "SIZE", CustomParser = OptionText.ParseSize, DefaultValueFactory = _ => new ByteCount(whenAbsent) };

    /// <summary>A number in a range.</summary>
    public static Option<int> Number(string name, string description, int whenAbsent, int lowest, int highest) =>
        new(name) { Description = description, HelpName = "N", CustomParser = OptionText.NumberIn(lowest, highest), DefaultValueFactory = _ => whenAbsent };

    /// <summary>One of several words; the first is the default.</summary>
    public static Option<string> Word(string name, string description, params string[] words) =>
        new(name) { Description = description, HelpName = string.Join('|', words), CustomParser = OptionText.OneOf(words), DefaultValueFactory = _ => words[0] };

    /// <summary>A time.</summary>
    public static Option<Duration> Time(string name, string description, TimeSpan whenAbsent) =>
        new(name) { Description = description, HelpName = "TIME", CustomParser = OptionText.ParseTime, DefaultValueFactory = _ => new Duration(whenAbsent) };

    /// <summary>A list of processors, empty by default.</summary>
    public static Option<int[]> Cpus(string name, string description) =>
        new(name) { Description = description, HelpName = "LIST", Arity = ArgumentArity.ExactlyOne, CustomParser = OptionText.ParseCpus, DefaultValueFactory = _ => [] };

    /// <summary>A switch without value.</summary>
    public static Option<bool> Flag(string name, string description) => new(name) { Description = description };

    /// <summary>A required path.</summary>
    public static Option<string> RequiredPath(string name, string description) => new(name) { Description = description, HelpName = "PATH", Required = true };
}
