using Paravane.Peers;

namespace Paravane.EndToEnd.Run;

/// <summary>What <c>make run-linux</c> does once the programs are compiled.</summary>
public sealed class RunLinuxTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(4); // most of it is the boot of two kernels in software emulation

    [Fact]
    public void Debians_kernel_boots_to_a_shell_with_a_disk_and_a_NIC_natively_or_in_an_emulated_host()
    {
        using var scratch = TemporaryDirectory.Create();
        using var terminal = ChildProcess.Start("env", [$"TMPDIR={scratch.File(string.Empty)}", Path.Combine(Programs.RepositoryRoot, "build/run-linux")], s_limit);
        terminal.WaitFor("under paravane: 2 processors", s_limit);
        terminal.WaitFor("guest# ", s_limit);
        terminal.Send("dd if=/dev/zero of=/dev/vda bs=1M count=4 conv=fsync 2>/dev/null; sha256sum < /dev/vda; cat /sys/class/net/eth0/operstate");
        terminal.WaitFor("3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351", s_limit); // 64 MiB of zeros
        terminal.WaitFor("up", s_limit);
        terminal.Send("poweroff -f");
        Assert.Equal(0, terminal.WaitForExit(s_limit));
        Assert.Empty(Directory.EnumerateFileSystemEntries(scratch.File(string.Empty)));
    }
}
