using Paravane.Hypervisor.Frontend;
using Paravane.Hypervisor.Launch;
using Paravane.Hypervisor.Workers;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Demo;

/// <summary>One back-end of the demo: a process of its own and the connection to it.</summary>
internal sealed class DemoBackEnd : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    private DemoBackEnd(ChildProcess process, VhostUserFrontend frontend)
    {
        Process = process;
        Frontend = frontend;
    }

    /// <summary>The process.</summary>
    public ChildProcess Process { get; }

    /// <summary>The connection.</summary>
    public VhostUserFrontend Frontend { get; }

    /// <summary>Starts the program that lies beside this one, with one end of a socket pair, and negotiates.</summary>
    /// <exception cref="FrontendException">The program is missing or did not come up; the message holds what it said.</exception>
    public static DemoBackEnd Start(string program, params string[] arguments)
    {
        string path = WorkerProcess.Find(program);
        (UnixSocket ours, UnixSocket theirs) = UnixSocket.Pair();
        using UnixSocket end = theirs;
        ChildProcess? process = null;
        try
        {
            process = ChildProcess.Start(path, [$"--fd={ChildProcess.InheritedNumber}", .. arguments], theirs);
            theirs.Dispose(); // else its end would not be seen here
            return new DemoBackEnd(process, VhostUserFrontend.Attach(ours, new FrontendOptions { StartTimeout = WorkerTuning.StartTimeout }));
        }
        catch (IOException failure)
        {
            ours.Dispose();
            using (process)
            {
                throw process is not null && process.WaitForEnd(s_patience) ? new FrontendException(process.DescribeEnd(), failure) : failure;
            }
        }
    }

    /// <summary>Ends the connection and the process.</summary>
    /// <exception cref="FrontendException">The process ended badly.</exception>
    public void Stop()
    {
        Frontend.Dispose();

        // A back-end on an inherited connection ends with it; one that does not is told to.
        if (!Process.WaitForEnd(s_patience))
        {
            Process.Stop(s_patience);
        }

        if (Process.ExitCode != 0)
        {
            throw new FrontendException(Process.DescribeEnd());
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Frontend.Dispose();
        Process.Dispose();
    }
}
