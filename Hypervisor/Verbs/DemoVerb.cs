using System.CommandLine;
using Paravane.Hypervisor.Demo;

namespace Paravane.Hypervisor.Verbs;

/// <summary><c>paravane demo</c>: see it work.</summary>
internal static class DemoVerb
{
    /// <summary>Builds the verb.</summary>
    public static Command Create()
    {
        var command = new Command("demo", "See it work: a disk and a network device in two processes, driven with verified data. Needs no root, no image and no options");
        Option<int> seconds = Options.Number("--seconds", "How long it runs, such as 5", 10, 1, 86400);
        command.Options.Add(seconds);
        command.SetAction(parsed => Verb.Run("demo", stop =>
        {
            new DemoRun(parsed.GetValue(seconds), stop).Execute();
            return ExitCode.Success;
        }));
        return command;
    }
}
