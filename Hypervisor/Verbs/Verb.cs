using System.Reflection;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Verbs;

/// <summary>What every verb does around its work: signals ask to stop, failures become one line and an exit code.</summary>
internal static class Verb
{
    /// <summary>Version of the program, without the commit.</summary>
    public static string Version { get; } =
        typeof(Verb).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    /// <summary>Runs <paramref name="body"/> and returns the exit code.</summary>
    public static int Run(string name, Func<CancellationToken, int> body)
    {
        using var stop = new CancellationTokenSource();
        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }

        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        try
        {
            return body(stop.Token);
        }
        catch (UsageException wrong)
        {
            return Fail(name, wrong.Message, ExitCode.Usage);
        }
        catch (Exception failure) when (failure is IOException or GuestMemoryException)
        {
            return Fail(name, failure.Message, ExitCode.Failed);
        }
    }

    /// <summary>Prints one line on standard error.</summary>
    public static int Fail(string name, string message, int exitCode)
    {
        Say(name, message);
        return exitCode;
    }

    /// <summary>Prints one line on standard error, from any thread.</summary>
    public static void Say(string name, string message)
    {
        try
        {
            Console.Error.WriteLine(name.Length == 0 ? $"paravane: {message}" : $"paravane {name}: {message}");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // Closed, or its disk is full: the exit code has to do.
        }
    }
}
