using Paravane.Hypervisor.Frontend;
using Paravane.VhostServer.Hosting;
using UsageException = Paravane.Hypervisor.Verbs.UsageException;

namespace Paravane.Hypervisor.Workers;

/// <summary>What all workers of our own take, and how their connections behave.</summary>
internal static class WorkerTuning
{
    /// <summary>Longest wait for a worker to come up: many times what it takes on a busy host.</summary>
    public static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);

    /// <summary>Front-end of a device with a worker of its own: everything that it knows is used.</summary>
    public static FrontendOptions Frontend { get; } = new() { ProtocolFeatures = FrontendOptions.Supported, StartTimeout = StartTimeout };

    /// <summary>Takes the keys <c>workers</c>, <c>poll</c> and <c>cpus</c>; they mean what the program's own options mean.</summary>
    /// <param name="list">Where they are.</param>
    /// <param name="arguments">Gets the program's options.</param>
    /// <param name="many">The program's word for more than one thread.</param>
    /// <exception cref="UsageException">A value is wrong.</exception>
    public static void Take(KeyValueList list, List<string> arguments, string many)
    {
        if (list.Take("workers") is { } workers)
        {
            arguments.Add(workers == "one" || workers == many ? $"--workers={workers}" : throw list.Wrong($"workers={workers} is neither one nor {many}"));
        }

        if (list.Take("poll") is { } poll)
        {
            arguments.Add(PollSetting.TryParse(poll, out _) ? $"--poll={poll}" : throw list.Wrong($"poll={poll} is none of off, always and microseconds up to 1000000"));
        }

        if (list.Take("cpus") is { } cpus)
        {
            arguments.Add(CpuList.TryParse(cpus, out _) ? $"--cpus={cpus}" : throw list.Wrong($"cpus={cpus} is not a list of processors such as 1, 4-7 or 2,,3"));
        }
    }
}
