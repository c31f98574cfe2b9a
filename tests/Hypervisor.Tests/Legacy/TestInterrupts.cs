using Paravane.Hypervisor.Kvm;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Tests.Legacy;

/// <summary>Wired interrupts as a guest would see them: levels, and how often each went up.</summary>
internal sealed class TestInterrupts : IInterruptController
{
    private readonly bool[] _levels = new bool[24];
    private readonly int[] _edges = new int[24];

    public bool Level(int gsi) => Volatile.Read(ref _levels[gsi]);

    public int Edges(int gsi) => Volatile.Read(ref _edges[gsi]);

    public void SetLine(int gsi, bool level)
    {
        if (level == _levels[gsi])
        {
            Assert.Fail($"line {gsi} is told again that it is {level}: each call is a system call");
        }

        Volatile.Write(ref _levels[gsi], level);
        _edges[gsi] += level ? 1 : 0;
    }

    public int AllocateGsi() => throw new NotSupportedException();

    public void FreeGsi(int gsi) => throw new NotSupportedException();

    public void SetMessage(int gsi, MsiMessage? message) => throw new NotSupportedException();

    public void Attach(int gsi, EventFd source) => throw new NotSupportedException();

    public void Detach(int gsi, EventFd source) => throw new NotSupportedException();
}
