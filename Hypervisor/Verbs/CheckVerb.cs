using System.CommandLine;
using System.Globalization;
using Paravane.Hypervisor.Bare;
using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Verbs;

/// <summary><c>paravane check</c>: says in a moment whether this host can do something.</summary>
internal static class CheckVerb
{
    /// <summary>Builds the verb with its subjects.</summary>
    public static Command Create()
    {
        var kvm = new Command("kvm", "Can this host's KVM boot a stock Linux kernel? Exit code 0 means yes, else one line says why not");
        kvm.SetAction(_ => Verb.Run("check kvm", _ => CheckKvm()));
        return new Command("check", "Find out what this host can do") { kvm };
    }

    /// <summary>That /dev/kvm opens is not enough: where KVM interprets the guest's kernel, bare guests run, but a stock one would need an hour to boot.</summary>
    private static int CheckKvm()
    {
        using KvmSystem system = KvmSystem.Open();
        double nanoseconds = RingZeroProbe.MeasureNanoseconds(system);
        string each = string.Create(CultureInfo.InvariantCulture, $"{nanoseconds:0.##} ns for an instruction");
        if (RingZeroProbe.MeansEmulated(nanoseconds))
        {
            throw new KvmException($"this host's KVM interprets what a guest runs in its kernel ({each}): bare guests run, a stock kernel is too slow to boot");
        }

        Console.Out.WriteLine($"this host's KVM runs a guest's kernel on the processor ({each}): stock kernels boot");
        return ExitCode.Success;
    }
}
