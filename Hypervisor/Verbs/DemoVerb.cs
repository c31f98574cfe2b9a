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
        Option<string> driver = Options.Word("--driver", "Who drives the devices: a guest on KVM, this process, or a guest where that is possible", "auto", "guest", "host");
        command.Options.Add(seconds);
        command.Options.Add(driver);
        command.SetAction(parsed => Verb.Run("demo", stop =>
        {
            DriverChoice choice = parsed.GetValue(driver) switch
            {
                "guest" => DriverChoice.Guest,
                "host" => DriverChoice.Host,
                _ => DriverChoice.Auto,
            };
            new DemoRun(parsed.GetValue(seconds), choice, stop).Execute();
            return ExitCode.Success;
        }));
        return command;
    }
}
