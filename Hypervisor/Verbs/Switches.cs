using System.CommandLine;
using Paravane.VhostServer.Hosting;

namespace Paravane.Hypervisor.Verbs;

/// <summary>Switches take the values that they take in the back-ends' programs; the parser itself knows true and false alone.</summary>
internal static class Switches
{
    /// <summary>Brings the value of each switch, joined to it or behind it, into the form that the parser knows.</summary>
    /// <param name="args">A command line.</param>
    /// <param name="root">Has all switches, of its own and of its verbs.</param>
    /// <exception cref="UsageException">A value is none for a switch.</exception>
    public static string[] Spell(string[] args, Command root)
    {
        HashSet<string> names = [.. NamesIn(root)];
        var spelled = new List<string>(args.Length);
        for (int i = 0; i < args.Length; i++)
        {
            string[] parts = args[i].Split('=', 2);
            if (!names.Contains(parts[0]))
            {
                spelled.Add(args[i]);
            }
            else if (parts.Length == 2)
            {
                spelled.Add($"{parts[0]}={SwitchValue.Read(parts[1]) ?? throw new UsageException($"{args[i]}: {SwitchValue.Rule}")}");
            }
            else if (i + 1 < args.Length && SwitchValue.Read(args[i + 1]) is bool value)
            {
                spelled.Add($"{parts[0]}={value}");
                i++;
            }
            else
            {
                spelled.Add(args[i]);
            }
        }

        return [.. spelled];
    }

    private static IEnumerable<string> NamesIn(Command command) =>
        command.Options.OfType<Option<bool>>().Select(option => option.Name).Concat(command.Subcommands.SelectMany(NamesIn));
}
